"""How far a bulk change is: the same words whether the page is loaded or stays open."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from m2m_pipeline.domain.status import SETTLED_DEVICES, UNDER_WAY, BulkChangeStatus, DeviceStatus
from m2m_pipeline.services.catalogue import Offer
from m2m_pipeline.services.forecast import seconds_for
from m2m_pipeline.web.page.accounts import notices
from m2m_pipeline.web.page.wording import CHANGES, DEVICES, duration, number, sims

_TO_SEND = (DeviceStatus.PENDING, DeviceStatus.WAITING)
# Those that ended without a change are left out: most of them never needed a call.
_SENT = frozenset(DeviceStatus) - {*_TO_SEND, DeviceStatus.SKIPPED, DeviceStatus.REFUSED}


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of the bar, in percent of its width."""

    tone: str
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class View:
    """What is shown of a bulk change under way."""

    status: BulkChangeStatus
    label: str
    meaning: str
    tone: str
    settled: int
    total: int
    headline: str
    speed: str
    left: str
    hold_ups: str
    counts: Mapping[str, str]
    bars: Sequence[Bar]


def view(
    status: BulkChangeStatus,
    counts: Mapping[DeviceStatus, int],
    offer: Offer | None,
    observed: float | None,
) -> View:
    """`observed`: devices/s of the last while, None where nothing is known of it."""
    words, total = CHANGES[status], sum(counts.values())
    settled = sum(counts.get(one, 0) for one in SETTLED_DEVICES)
    under_way = status in UNDER_WAY
    return View(
        status=status,
        label=words.label,
        meaning=words.meaning,
        tone=words.tone,
        settled=settled,
        total=total,
        headline=f"{number(settled)} of {sims(total)} settled",
        speed=f"{number(round(observed, 1))} SIMs a second" if observed and under_way else "",
        left=_left(counts, offer, observed) if under_way else "",
        hold_ups=" ".join(notice.text for notice in notices([offer])) if offer and under_way else "",
        counts={one.value: number(counts.get(one, 0)) for one in DEVICES},
        bars=_bars(counts, total),
    )


def sent(counts: Mapping[DeviceStatus, int]) -> int:
    """Devices of which a call has left."""
    return sum(counts.get(one, 0) for one in _SENT)


def observed_since(started_at: datetime | None, counts: Mapping[DeviceStatus, int]) -> float | None:
    """Devices/s since the start; None before there is something to measure."""
    done = sent(counts)
    seconds = (datetime.now(UTC) - started_at).total_seconds() if started_at else 0.0
    return done / seconds if done and seconds > 1 else None


def _left(counts: Mapping[DeviceStatus, int], offer: Offer | None, observed: float | None) -> str:
    to_send = sum(counts.get(one, 0) for one in _TO_SEND)
    if offer is None or not offer.provider.writes_enabled:
        return ""
    if offer.standing.open_for is not None:
        return "waits for the carrier"
    if not to_send:
        return "the last ones are being confirmed"
    seconds = seconds_for(to_send, offer.provider.verify, offer.standing.pace, observed)
    return f"about {duration(seconds)} left" if seconds else ""


def _bars(counts: Mapping[DeviceStatus, int], total: int) -> list[Bar]:
    bars: list[Bar] = []
    start = 0.0
    for status, words in DEVICES.items():
        width = 100 * counts.get(status, 0) / total if total else 0.0
        shade = "rest" if status in _TO_SEND else words.tone
        bars.append(Bar(shade, round(start, 3), round(width, 3)))
        start += width
    return bars
