"""The rate that the carrier teaches us: slower when it says that it is over its limit, and the way back."""

from dataclasses import replace
from math import cbrt

from m2m_pipeline.domain.budget.gate import Gate, Limits

SLOWDOWN = 0.7
RECOVERY_SECONDS = 20.0
BACK_SECONDS = RECOVERY_SECONDS * cbrt(1 - SLOWDOWN)
"""The carrier says that it is over its limit: the account goes on at 70 %, and finds its way back as TCP does (CUBIC):
soon to just below the rate at which it was told so, where it lingers, then beyond, slowly at first. It is at that rate
after 13 s, at one and a half times after 29 s, at ten times after 55 s. A limit that was lowered for good is so met
again every quarter of a minute, at the price of a few refused calls."""

SAME_SLOWDOWN_SECONDS = 0.5
"""Refusals of calls that left sooner after a slowdown are about the same moment: nobody had heard of it yet."""

SLOWEST = 0.2
"""calls/s; below, an account would not notice that it may go faster."""

HOLD_SECONDS = 1.0
"""How long the account rests after such a refusal, where the carrier names no time."""


def pace(gate: Gate, limits: Limits, now: float) -> float:
    """The account's rate now, calls/s: as configured, or what the carrier taught us and the recovery since the rest."""
    if gate.pace is None:
        return limits.calls_per_second
    since = max(0.0, now - gate.rests_until)
    recovered = gate.pace / SLOWDOWN * (1 + ((since - BACK_SECONDS) / RECOVERY_SECONDS) ** 3)
    return min(limits.calls_per_second, recovered)


def withdrawn_before(gate: Gate, now: float) -> float:
    """Permits that were granted before this moment are worth nothing: the account has had trouble since.

    The carrier said that it was too much, or it is silent, and whoever calls is a probe.
    """
    return gate.paced_at if gate.probe_at is None else now


def throttled(gate: Gate, limits: Limits, left_at: float, now: float, retry_after: float | None = None) -> Gate:
    """A call that left at a moment was told that the account is over its limit: all rest, then go on more slowly.

    One that left before it was heard of the last time is no news, but for a time to come back that it names.
    """
    slowed = gate.pace
    if slowed is None or left_at >= gate.paced_at + SAME_SLOWDOWN_SECONDS:
        slowed = max(SLOWEST, pace(gate, limits, left_at) * SLOWDOWN)
    elif not retry_after:
        return gate
    rests_until = max(gate.rests_until, now + (retry_after or HOLD_SECONDS))
    next_call_at = max(gate.next_call_at, rests_until)
    return replace(gate, next_call_at=next_call_at, rests_until=rests_until, pace=slowed, paced_at=now)
