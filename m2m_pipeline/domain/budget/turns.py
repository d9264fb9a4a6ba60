"""Whose turn it is to call.

A permit is a moment in the (near) future: whoever has one sleeps until it and then calls, so nobody polls for it and
nobody starves. Whoever has to wait is remembered in order of asking, so that runs which share an account advance
together: each gets its group of calls, then it is the next one's turn. A run of weight two takes two turns before that:
its groups are no larger, since the places would bound them.
"""

from dataclasses import dataclass, replace

from m2m_pipeline.domain.budget.adaptation import pace
from m2m_pipeline.domain.budget.gate import SHARE_OF_THE_LIMIT, Gate, Limits, Turn

LATE_SECONDS = 0.01
"""A call that could not leave within this time of its permit's moment would crowd in on the calls of others: it takes
another permit. What the share leaves free beyond that is the network's."""

LEAD_SECONDS = 0.03
"""On an account that was idle a permit lies so far ahead: its holder commits the intent first, and is not late then."""

AHEAD_SECONDS = 0.25
"""How far in the future a permit may lie: long enough to commit the intent before its moment, short enough that a run
which asks now does not stand behind another's stock."""

TURN_SECONDS = 0.1
"""How much of the account's time one turn takes: short enough to share fairly, long enough to cost few transactions."""

MOST_AT_ONCE = 100
"""Calls in one turn at most. A crash makes uncertain what is in flight, and up to one and a half turns that wait."""

LONGEST_WAIT_SECONDS = 0.5
GRACE_SECONDS = 0.05
FORGOTTEN_SECONDS = 1.5
"""A run that has not come back for its turn is passed over after the grace, and forgotten after this time: it died."""


@dataclass(frozen=True, slots=True)
class Grant:
    """`calls` calls may be made: the first at `first_at`, each `spacing` seconds after the one before.

    In as many new `places`; the others wait until calls of the same run have ended.
    """

    calls: int
    first_at: float
    spacing: float
    places: int
    probe: bool = False  # to find out whether a silent carrier is back


@dataclass(frozen=True, slots=True)
class Wait:
    """No call may be made now: ask again in `seconds`. `open_`: because the carrier does not answer anybody."""

    seconds: float
    open_: bool = False


def calls_of_a_turn(gate: Gate, limits: Limits, now: float) -> int:
    """How many calls a run is given at once: of the rate as it is now, so that none lies further ahead than a turn."""
    return max(1, min(round(pace(gate, limits, now) * TURN_SECONDS), limits.in_flight, MOST_AT_ONCE))


@dataclass(frozen=True, slots=True)
class Asking:
    """A run that has `held` places asks for up to `calls` calls.

    `probe`: cheap ones, which may find out whether a silent carrier is back. `weight`: turns that it takes in a row.
    """

    holder: str
    calls: int
    probe: bool = False
    held: int = 0
    weight: int = 1


def ask(gate: Gate, limits: Limits, asking: Asking, in_flight: int, now: float) -> tuple[Gate, Grant | Wait]:
    """Whether calls may be made while `in_flight` are under way on the account, and the gate that remembers it."""
    if gate.probe_at is not None:
        return _ask_while_open(gate, limits, in_flight, now, probe=asking.probe)
    rate = pace(gate, limits, now)
    spacing = 1 / (rate * SHARE_OF_THE_LIMIT)
    queue = tuple(turn for turn in gate.waiting if now - turn.seen_at < FORGOTTEN_SECONDS)
    place = next((i for i, turn in enumerate(queue) if turn.holder == asking.holder), len(queue))
    own = queue[place] if place < len(queue) else Turn(asking.holder, now, now, asking.weight)
    before = [turn for turn in queue[:place] if now < turn.back_at + GRACE_SECONDS]
    early = max(0.0, gate.next_call_at - now - AHEAD_SECONDS)
    free = limits.in_flight - in_flight
    # While permits reach well ahead, a few places now are worth less than a whole turn soon.
    calls = min(asking.calls, calls_of_a_turn(gate, limits, now))
    reach = gate.next_call_at - now - AHEAD_SECONDS / 2
    scarce = free < calls and (free <= 0 or reach > 0)
    # Where nobody else waits for them, a run may go on in the places that it has.
    alone = all(turn.holder == asking.holder for turn in queue)
    stays = alone and limits.ample_at(rate) and free >= 0 and free + asking.held > 0
    if before or early or (scarce and not stays):
        theirs = sum(turn.calls for turn in before) if early or reach > 0 else len(before)
        seconds = early + spacing * theirs if early or before else min(reach, spacing * (calls - free))
        seconds = min(LONGEST_WAIT_SECONDS, max(seconds, _slot_wait(spacing)))
        turn = replace(own, seen_at=now, back_at=now + seconds, calls=calls)
        return replace(gate, waiting=(*queue[:place], turn, *queue[place + 1 :])), Wait(seconds)
    places = min(calls, free)
    calls = calls if stays else places
    first_at = max(gate.next_call_at, now + (LEAD_SECONDS if limits.binding else 0.0))
    next_call_at = first_at + calls * spacing
    # For the rest of its turns it keeps its place; until the next permit can be had, that costs the others nothing.
    kept = replace(own, seen_at=now, back_at=max(now, next_call_at - AHEAD_SECONDS), turns=own.turns - 1)
    waiting = (*queue[:place], *([kept] if kept.turns else []), *queue[place + 1 :])
    return replace(gate, next_call_at=next_call_at, waiting=waiting), Grant(calls, first_at, spacing, places)


def ask_ahead(
    gate: Gate, limits: Limits, asking: Asking, granted: Grant, in_flight: int, *, now: float
) -> tuple[Gate, Wait | None]:
    """Ask for the turn after the one just `granted`, too: as a question of its own it would nearly always have to wait.

    None: it would not, or nothing more is asked for; the gate is as it was then.
    """
    if granted.probe or not asking.calls:
        return gate, None
    further = replace(asking, held=asking.held + granted.places)
    decided, answer = ask(gate, limits, further, in_flight + granted.places, now)
    return (decided, answer) if isinstance(answer, Wait) else (gate, None)


def _ask_while_open(
    gate: Gate, limits: Limits, in_flight: int, now: float, *, probe: bool
) -> tuple[Gate, Grant | Wait]:
    assert gate.probe_at is not None
    probe_at = max(gate.probe_at, gate.next_call_at - AHEAD_SECONDS)
    if not probe or now < probe_at:
        return gate, Wait(min(LONGEST_WAIT_SECONDS, max(GRACE_SECONDS, probe_at - now)), open_=True)
    if in_flight:  # the last probe may be out, or the carrier be at calls still that nobody waits for: none beside them
        return gate, Wait(LONGEST_WAIT_SECONDS, open_=True)
    first_at = max(gate.next_call_at, now)
    return replace(gate, probe_at=first_at + limits.probe_seconds), Grant(1, first_at, 0.0, 1, probe=True)


def _slot_wait(spacing: float) -> float:
    """How soon to look for a free slot: a call takes tens of milliseconds or more."""
    return min(0.05, max(0.01, spacing / 2))
