"""What people read: one table for each of the states, and how numbers, times and durations are written."""

from dataclasses import dataclass
from datetime import UTC, datetime

from m2m_pipeline.domain.status import BulkChangeStatus, DeviceStatus

_MINUTE, _HOUR = 60, 3600


@dataclass(frozen=True, slots=True)
class Words:
    """A state in words. `tone` is a style: good, warn, bad, busy or calm."""

    label: str
    meaning: str
    tone: str


CHANGES: dict[BulkChangeStatus, Words] = {
    BulkChangeStatus.NEW: Words("Not started", "Recorded only. Nothing is sent before somebody starts it.", "calm"),
    BulkChangeStatus.QUEUED: Words("Queued", "It starts by itself when its turn comes.", "busy"),
    BulkChangeStatus.PROCESSING: Words("Running", "You may close this page: it goes on without you.", "busy"),
    BulkChangeStatus.PROCESSED: Words("Done", "Every SIM is on the plan, at the carrier and in AMOP.", "good"),
    BulkChangeStatus.PARTIAL: Words(
        "Partly done", "Some SIMs were changed, some were not; the reasons are below.", "warn"
    ),
    BulkChangeStatus.FAILED: Words("Failed", "No SIM was changed; the reasons are below.", "bad"),
    BulkChangeStatus.REJECTED: Words(
        "Rejected", "It was withdrawn, or no longer held when it was to start. No SIM was changed.", "bad"
    ),
}

DEVICES: dict[DeviceStatus, Words] = {
    DeviceStatus.PROCESSED: Words("Changed", "On the plan, at the carrier and in AMOP", "good"),
    DeviceStatus.SKIPPED: Words("Nothing to do", "Needed no call", "calm"),
    DeviceStatus.REFUSED: Words("Not changed", "Refused, with its reason", "bad"),
    DeviceStatus.UNCONFIRMED: Words("Outcome unknown", "The carrier is asked before anything is sent again", "warn"),
    DeviceStatus.AMOP_FAILED: Words("AMOP behind", "Changed at the carrier, not yet in AMOP", "warn"),
    DeviceStatus.APPLIED: Words("Being confirmed", "The carrier took it; it is being confirmed", "busy"),
    DeviceStatus.SENDING: Words("Being sent", "A call is on its way", "busy"),
    DeviceStatus.PENDING: Words("To do", "Not sent yet", "calm"),
    DeviceStatus.WAITING: Words("Waiting", "Another bulk change has the SIM and comes first", "calm"),
}
"""In the order in which they are shown."""


def number(value: float) -> str:
    """`12 345`, with thin spaces; at most one decimal."""
    text = f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"
    return text.replace(",", "\u2009")


def sims(count: int) -> str:
    """`1 SIM`, `12 SIMs`."""
    return f"{number(count)} SIM{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """`8 s`, `3 min`, `2 h 5 min`."""
    if seconds < _MINUTE:
        return f"{max(round(seconds), 1)} s"
    if seconds < _HOUR:
        return f"{round(seconds / _MINUTE)} min"
    hours, minutes = divmod(round(seconds / _MINUTE), 60)
    return f"{number(hours)} h {minutes} min" if minutes else f"{number(hours)} h"


def moment(at: datetime) -> str:
    """`24 Nov 2026, 13:20 UTC`."""
    return f"{at.astimezone(UTC):%-d %b %Y, %H:%M} UTC"
