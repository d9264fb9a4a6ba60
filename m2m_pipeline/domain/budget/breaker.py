"""The breaker: when an account stops calling a carrier that does not answer, and when it goes on."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from m2m_pipeline.domain.budget.gate import Gate, Limits

SILENT_IN_A_ROW = 5
MEMORY = 20
"""The breaker opens after so many calls in a row without a believable answer, or half of the last twenty."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call came to its end. `silent`: without a believable answer; `change`: it was no read."""

    silent: bool
    change: bool = False


def heard(gate: Gate, limits: Limits, endings: Iterable[Ending], now: float) -> Gate:
    """Calls came to their end. Opens or closes the breaker.

    Changes are counted by themselves, too: a carrier may answer reads while it answers no change. A read that closes
    the breaker takes nothing from that count, so the next change that is lost opens it again at once, until a change is
    answered. Else each probe would throw the account open to as many lost changes as opened the breaker before. Nor
    does it end the outage while changes are in doubt.
    """
    recent, probe_at, open_since, lost, lost_at = gate.recent, gate.probe_at, gate.open_since, gate.lost, gate.lost_at
    for ending in endings:
        recent = (*recent, ending.silent)[-MEMORY:]
        if ending.change:
            lost, lost_at = (lost + 1, now) if ending.silent else (0, lost_at)
        if not ending.silent:
            recent = recent if probe_at is None else ()
            probe_at, open_since = None, open_since if lost else None
        elif probe_at is None and (_is_silent(recent) or (ending.change and lost >= SILENT_IN_A_ROW)):
            probe_at, open_since = now + limits.probe_seconds, now if open_since is None else open_since
    return replace(gate, recent=recent, probe_at=probe_at, open_since=open_since, lost=lost, lost_at=lost_at)


def is_away(gate: Gate) -> bool:
    """Whether there is an outage: the carrier answers nobody, or no change.

    What befalls a device then says nothing about the device.
    """
    return gate.open_since is not None


def _is_silent(recent: tuple[bool, ...]) -> bool:
    in_a_row = len(recent) >= SILENT_IN_A_ROW and all(recent[-SILENT_IN_A_ROW:])
    return in_a_row or sum(recent) * 2 >= MEMORY
