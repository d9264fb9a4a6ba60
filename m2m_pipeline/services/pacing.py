"""The account's budget as one process sees it: permits to call, handed out in order of asking."""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf

from m2m_pipeline.domain import budget
from m2m_pipeline.domain.budget import Asking, Grant, Limits, Wait
from m2m_pipeline.domain.outcome import Unconfirmed, Unreachable
from m2m_pipeline.storage import gate
from m2m_pipeline.storage.database import Database, retrying_transient

TURN_SECONDS = 0.1
"""How much of the account's time one turn takes: short enough to share fairly, long enough to cost few transactions."""

MOST_AT_ONCE = 100
"""Calls in one turn at most: so many devices a crash makes uncertain."""

REPORT_SECONDS = 0.01
"""How long the end of a call may wait for others to be reported together."""


SCARCE_SECONDS = 0.03
ENDS_OF_A_TURN = 8
"""Where places are what is scarce, the next permits are asked for when an eighth of a turn has ended, or after a while.
Asking for each place costs more than it brings; asking for all at once has the carrier and us wait for each other."""


@dataclass(frozen=True, slots=True)
class Permit:
    """One call that may be made, at `moment` of the event loop's clock; given back by `Pacer.end`."""

    id: int
    moment: float
    late_at: float  # from then on it is worth nothing


@dataclass(slots=True)
class _Demand:
    calls: int
    probe: bool
    granted: asyncio.Future[list[Permit]]


@dataclass(frozen=True, slots=True)
class _End:
    """How one call ended: without a believable answer, or with the word that the account is over its limit."""

    permit_id: int | None  # None: its place is not free yet
    silent: bool | None  # None: not known
    throttled: Unreachable | Unconfirmed | None


@dataclass
class Pacer:
    """Permits of one account for one event loop. All of them come from the account's row in the database.

    `weight`: how many turns this run takes while one of weight 1 takes one.
    """

    database: Database
    account: str
    limits: Limits
    weight: int = 1
    calls: int = 0  # made, and not yet taken by `take_calls`
    _holder: str = field(default_factory=lambda: secrets.token_hex(8))
    _demands: deque[_Demand] = field(default_factory=deque[_Demand])
    _ended: list[_End] = field(default_factory=list["_End"])
    _some_ended: asyncio.Event = field(default_factory=asyncio.Event)
    _given: set[int] = field(default_factory=set[int])  # permits whose call has not ended
    _waits: bool = False  # for its turn
    _ahead: float = inf  # the event loop's clock to the database's: what is known of it best
    _server: asyncio.Task[None] | None = None
    _asking: asyncio.Task[tuple[Grant | Wait, Sequence[int], float]] | None = None
    _reporter: asyncio.Task[None] | None = None

    @property
    def group(self) -> int:
        """Calls in one turn."""
        of_a_turn = max(1, round(self.limits.calls_per_second * TURN_SECONDS)) * self.weight
        return min(of_a_turn, self.limits.in_flight, MOST_AT_ONCE)

    def take_calls(self) -> int:
        """How many calls were made since this was asked last: whoever asks notes them."""
        calls, self.calls = self.calls, 0
        return calls

    async def permits(self, calls: int, *, probe: bool = False) -> list[Permit]:
        """Up to `calls` permits, at least one; none where the account's breaker is open.

        `probe`: the calls are reads, one of which may find out whether the carrier is back.
        """
        demand = _Demand(calls, probe, asyncio.get_running_loop().create_future())
        self._demands.append(demand)
        if self._server is None or self._server.done():
            self._server = asyncio.create_task(self._serve())
        return await demand.granted

    async def in_time(self, permit: Permit, *, probe: bool = False) -> Permit | None:
        """Sleep until the permit's moment; the permit to call with.

        Another one where the moment was missed, since the calls of others have theirs; none where the account's breaker
        has opened meanwhile.
        """
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(permit.moment - clock())
        while clock() > permit.late_at:
            self.give_back(permit)
            permits = await self.permits(1, probe=probe)
            if not permits:
                return None
            (permit,) = permits
            await asyncio.sleep(permit.moment - clock())
        return permit

    def end(self, permit: Permit, outcome: object) -> None:
        """The permit's call has ended with `outcome`. Its place is free for another, unless the call was abandoned."""
        self.abandon(permit)
        self._finish(_End(None if _is_abandoned(outcome) else permit.id, _is_silent(outcome), _throttled(outcome)))

    def give_back(self, permit: Permit) -> None:
        """The permit's call was not made. Its place is free for another."""
        self.abandon(permit)
        self._finish(_End(permit.id, None, None))

    def abandon(self, permit: Permit) -> None:
        """Nobody waits for the permit's call any more. The carrier may be at it still: its place frees itself in time.

        See `gate.CALL_ENDS_SECONDS`.
        """
        self._given.discard(permit.id)

    def _finish(self, end: _End) -> None:
        self._ended.append(end)
        if len(self._ended) * ENDS_OF_A_TURN >= self.group:
            self._some_ended.set()
        if self._reporter is None or self._reporter.done():
            self._reporter = asyncio.create_task(self._report_soon())

    async def close(self) -> None:
        """Report what has ended; permits that were never used are free at once. No call is in flight any more."""
        if self._server:
            self._server.cancel()
        while self._demands:
            _give(self._demands.popleft(), [])
        if self._asking:  # what it is being given now is free too
            await asyncio.gather(self._asking, return_exceptions=True)
        if self._reporter:
            await asyncio.gather(self._reporter, return_exceptions=True)
        if self._ended or self._given:
            await asyncio.to_thread(self._report, self._take_ended(), tuple(self._given))
            self._given.clear()

    async def _serve(self) -> None:
        """Ask for everybody who waits here, as one: the account sees one run, and one transaction at a time."""
        waited = False
        while self._demands:
            wanted = min(self.group, sum(demand.calls for demand in self._demands))
            probe = any(demand.probe for demand in self._demands)
            try:
                self._asking = asyncio.create_task(self._ask_and_note(wanted, probe, self._take_ended()))
                answer, ids, first = await asyncio.shield(self._asking)
            except Exception as error:  # noqa: BLE001 -- whoever waits gets it
                while self._demands:
                    self._demands.popleft().granted.set_exception(error)
                return
            if isinstance(answer, Grant):
                late = budget.LATE_SECONDS if self.limits.binding and not answer.probe else inf
                moments = [first + place * answer.spacing for place in range(len(ids))]
                permits = [Permit(id_, moment, moment + late) for id_, moment in zip(ids, moments, strict=True)]
                self._hand_out(permits, [one for one in self._demands if one.probe or not answer.probe])
                waited = False
                if answer.calls < wanted and not answer.probe:
                    await self._await_ends()
            elif answer.open_ and waited:
                while self._demands:
                    _give(self._demands.popleft(), [])
            else:
                self._waits = True
                await asyncio.sleep(answer.seconds)
                self._waits = False
                waited = answer.open_

    async def _ask_and_note(
        self, wanted: int, probe: bool, ended: Sequence[_End]
    ) -> tuple[Grant | Wait, Sequence[int], float]:
        answer, ids, first = await asyncio.to_thread(self._ask, wanted, probe, ended)
        self._given.update(ids)
        return answer, ids, first

    def _hand_out(self, permits: list[Permit], waiting: Sequence[_Demand]) -> None:
        """Give permits to those who wait, the first first."""
        for demand in waiting:
            if not permits:
                break
            share, rest = permits[: demand.calls], permits[demand.calls :]
            self._demands.remove(demand)
            permits = rest if _give(demand, share) else permits
        for unused in permits:
            self.give_back(unused)

    async def _await_ends(self) -> None:
        """Places are scarce: wait until some are free again here, or a while, since others free them too."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SCARCE_SECONDS):
                await self._some_ended.wait()

    def _take_ended(self) -> list[_End]:
        ended, self._ended = self._ended, []
        self._some_ended.clear()
        return ended

    async def _report_soon(self) -> None:
        while self._ended:
            await asyncio.sleep(REPORT_SECONDS)
            # Whoever is about to ask for the next permits reports as well; whoever waits for its turn does not.
            if self._ended and (self._waits or not self._demands):
                await asyncio.to_thread(self._report, self._take_ended())

    @retrying_transient
    def _ask(self, wanted: int, probe: bool, ended: Sequence[_End]) -> tuple[Grant | Wait, Sequence[int], float]:
        with self.database.begin() as tx:
            before = time.monotonic()
            locked = gate.lock(tx, self.account, _freed(ended))
            self._ahead = _nearest(self._ahead, before - locked.now, time.monotonic() - locked.now)
            asking = Asking(self._holder, wanted, probe)
            decided, answer = budget.ask(self._after(locked, ended), self.limits, asking, locked.in_flight, locked.now)
            if isinstance(answer, Wait):
                gate.store(tx, self.account, decided)
                return answer, (), 0.0
            permits = gate.store(tx, self.account, decided, self._holder, answer)
            return answer, permits, answer.first_at + self._ahead

    @retrying_transient
    def _report(self, ended: Sequence[_End], unused: Sequence[int] = ()) -> None:
        with self.database.begin() as tx:
            locked = gate.lock(tx, self.account, [*_freed(ended), *unused])
            gate.store(tx, self.account, self._after(locked, ended))

    def _after(self, locked: gate.LockedGate, ended: Sequence[_End]) -> budget.Gate:
        """The gate once these ends are known."""
        known = budget.heard(
            locked.gate, self.limits, [end.silent for end in ended if end.silent is not None], locked.now
        )
        for end in ended:
            if end.throttled:
                known = budget.throttled(known, self.limits, locked.now, end.throttled.retry_after)
        return known


def _nearest(known: float, least: float, most: float) -> float:
    """What is known of a difference between clocks once it was seen to lie between `least` and `most`.

    A glance that took long tells little, and takes nothing from what a quick one told: moments that were put off by the
    time that each answer took would crowd one another. A clock that was set is seen by the first quick glance.
    """
    return min(max(known, least), most)


def _give(demand: _Demand, permits: list[Permit]) -> bool:
    """Hand permits over; False where nobody waits for them any more."""
    if demand.granted.done():
        return False
    demand.granted.set_result(permits)
    return True


def _freed(ended: Sequence[_End]) -> list[int]:
    return [end.permit_id for end in ended if end.permit_id is not None]


def _is_abandoned(outcome: object) -> bool:
    return isinstance(outcome, Unreachable | Unconfirmed) and outcome.abandoned


def _throttled(outcome: object) -> Unreachable | Unconfirmed | None:
    """The outcome, where it says that the account is to call less or later."""
    match outcome:
        case Unreachable(throttled=True) | Unconfirmed(retry_after=float()):
            return outcome
        case _:
            return None


def _is_silent(outcome: object) -> bool:
    """Whether a call ended without a believable answer. A refusal at the gate is an answer, a server error is none."""
    if isinstance(outcome, Unconfirmed):
        return True
    return isinstance(outcome, Unreachable) and not outcome.throttled and outcome.answer.http_status is None
