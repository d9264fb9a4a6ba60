"""The budget of one carrier account: how many calls, how many at once, whose turn, and when to stop knocking.

Pure decisions over one value, `Gate`, which storage keeps as one row for all processes. Times are seconds of the
database's clock, rates are calls/s. A permit is a moment in the (near) future: whoever has one sleeps until it and then
calls, so nobody polls for it and nobody starves. Whoever has to wait is remembered in order of asking, so that runs
which share an account advance together: each gets its group of calls, then it is the next one's turn. A run of weight
two takes two turns before that: its groups are no larger, since the places would bound them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import cbrt

SHARE_OF_THE_LIMIT = 0.975
"""Timers and networks bunch calls that left evenly. At 97.5 % of the limit calls may arrive up to 25 ms off their time
before a sliding second sees one too many; at 100 % not at all."""

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

SILENT_IN_A_ROW = 5
MEMORY = 20
"""The breaker opens after so many calls in a row without a believable answer, or half of the last twenty."""

PROBE_SECONDS = 10.0
"""While it is open, one call at a time, and one in so many seconds at most, tries whether the carrier is back."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the account is configured to allow."""

    calls_per_second: float
    in_flight: int
    probe_seconds: float = PROBE_SECONDS

    @property
    def binding(self) -> bool:
        """Whether late calls could take the account over its limit.

        They cannot where all that may be in flight fit into the share of the limit that is left free.
        """
        return self.in_flight > self.calls_per_second * (1 - SHARE_OF_THE_LIMIT)

    def ample_at(self, rate: float) -> bool:
        """Whether places are so much scarcer than calls that calls may wait for places, and still not exceed `rate`.

        As above; up to one and a half times as many as may be in flight then wait beside them.
        """
        return self.in_flight * 2.5 <= rate * (1 - SHARE_OF_THE_LIMIT)


@dataclass(frozen=True, slots=True)
class Turn:
    """A run that waits: when it was seen last, when it will come back to ask, and its turns until the next run's.

    `calls`: how many it will ask for in one turn.
    """

    holder: str
    seen_at: float
    back_at: float
    turns: int = 1
    calls: int = 1


@dataclass(frozen=True, slots=True)
class Gate:
    """What is remembered of an account. The default is an account that was never used."""

    next_call_at: float = 0.0
    pace: float | None = None  # calls/s that the carrier taught us, as the last rest ends; None: as configured
    paced_at: float = 0.0  # when the carrier last said that it was too much
    recent: tuple[bool, ...] = ()  # the last outcomes, newest last; True where no believable answer came
    probe_at: float | None = None  # the breaker is open; when the next probe may leave
    waiting: tuple[Turn, ...] = ()
    open_since: float | None = None  # when the outage began: the breaker's first opening in it
    lost: int = 0  # changes in a row without a believable answer, whatever reads were answered meanwhile
    lost_at: float | None = None  # when the last of them, or of those before, was heard of
    rests_until: float = 0.0  # when the last rest that the carrier brought about ends: no call leaves before


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


def pace(gate: Gate, limits: Limits, now: float) -> float:
    """The account's rate now, calls/s: as configured, or what the carrier taught us and the recovery since the rest."""
    if gate.pace is None:
        return limits.calls_per_second
    since = max(0.0, now - gate.rests_until)
    recovered = gate.pace / SLOWDOWN * (1 + ((since - BACK_SECONDS) / RECOVERY_SECONDS) ** 3)
    return min(limits.calls_per_second, recovered)


def calls_of_a_turn(gate: Gate, limits: Limits, now: float) -> int:
    """How many calls a run is given at once: of the rate as it is now, so that none lies further ahead than a turn."""
    return max(1, min(round(pace(gate, limits, now) * TURN_SECONDS), limits.in_flight, MOST_AT_ONCE))


def withdrawn_before(gate: Gate, now: float) -> float:
    """Permits that were granted before this moment are worth nothing: the account has had trouble since.

    The carrier said that it was too much, or it is silent, and whoever calls is a probe.
    """
    return gate.paced_at if gate.probe_at is None else now


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
