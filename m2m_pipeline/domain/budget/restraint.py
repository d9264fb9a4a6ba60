"""What keeps a carrier account from its configured rate, for an operator who asks why a bulk change is slow."""

from dataclasses import dataclass
from math import cbrt

from m2m_pipeline.domain.budget.adaptation import BACK_SECONDS, HOLD_SECONDS, RECOVERY_SECONDS, SLOWDOWN, pace
from m2m_pipeline.domain.budget.gate import Gate, Limits


@dataclass(frozen=True, slots=True)
class Restraint:
    """What keeps an account from its configured rate, in seconds from now on; None where nothing does."""

    slowed_for: float | None = None  # since the carrier last said that it was too much
    recovers_in: float | None = None  # until the configured rate, unless the carrier says it again
    rests_for: float | None = None  # no call is made: the carrier named a time to come back
    open_for: float | None = None  # the breaker is open: since the outage began
    probe_in: float | None = None  # until one call tries whether the carrier is back


def restraint(gate: Gate, limits: Limits, now: float) -> Restraint:
    """What keeps the account from its configured rate now."""
    allowed = pace(gate, limits, now)
    slowed_for = recovers_in = None
    rest = gate.rests_until - now
    if gate.pace is not None and allowed < limits.calls_per_second:
        slowed_for = max(0.0, now - gate.paced_at)
        beyond = limits.calls_per_second * SLOWDOWN / gate.pace - 1
        recovers_in = rest + BACK_SECONDS + RECOVERY_SECONDS * cbrt(beyond)
    return Restraint(
        slowed_for,
        recovers_in,
        rest if rest > HOLD_SECONDS else None,
        None if gate.probe_at is None or gate.open_since is None else max(0.0, now - gate.open_since),
        None if gate.probe_at is None else max(0.0, gate.probe_at - now),
    )
