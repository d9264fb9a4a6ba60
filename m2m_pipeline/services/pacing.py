"""The account's budget as one process sees it: permits to call, handed out in order of asking."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from math import inf

from m2m_pipeline.domain.budget.gate import Limits
from m2m_pipeline.domain.budget.turns import Wait
from m2m_pipeline.services.demands import Demands
from m2m_pipeline.services.gatekeeper import (
    Ended,
    Gatekeeper,
    News,
    Permit,
    Permits,
    is_abandoned,
    means_excess,
    means_trouble,
)
from m2m_pipeline.services.places import Places
from m2m_pipeline.storage.database import Database

REPORT_SECONDS = 0.1
REPORTS_OF_A_TURN = 4
"""The ends of calls are reported together: when a quarter of a turn has ended, or after a while. Each report holds up
everybody who asks; at hundreds of calls/s they would be what the account is busy with."""

SOON_SECONDS = 0.15
"""Whoever asks for the next permits within this time, as a run that has an account to itself, reports with that."""

SCARCE_SECONDS = 0.03
ENDS_OF_A_TURN = 8
"""Where places are what is scarce, the next permits are asked for when an eighth of a turn has ended, or after a while.
Asking for each place costs more than it brings; asking for all at once has the carrier and us wait for each other."""


class Pacer:
    """Permits of one account for one event loop. All of them come from the account's row in the database.

    `weight`: how many turns this run takes in a row while one of weight 1 takes one.
    """

    def __init__(self, database: Database, account: str, limits: Limits, weight: int = 1) -> None:
        self.calls = 0  # made, and not yet taken by `take_calls`
        self.making_ready = asyncio.Lock()  # of who makes a call ready to leave
        self._gatekeeper = Gatekeeper(database, account, limits, weight)
        self._demands = Demands()
        self._places = Places()
        self._trouble_at = -inf  # nobody who was promised a place before waits for it any more
        self._free: list[int] = []
        self._ended: list[Ended] = []
        self._some_free = asyncio.Event()
        self._much_news = asyncio.Event()
        self._bad_news = asyncio.Event()
        self._waits = False  # for its turn
        self._server: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[Permits | Wait] | None = None
        self._reporter: asyncio.Task[None] | None = None

    @property
    def calls_per_second(self) -> float:
        """The account's limit, as far as was asked here."""
        return self._gatekeeper.limits.calls_per_second

    def take_calls(self) -> int:
        """How many calls were made since this was asked last: whoever asks notes them."""
        calls, self.calls = self.calls, 0
        return calls

    def was_away_since(self, moment: datetime) -> bool:
        """Whether the account has been silent at some time since a moment, as far as was asked or told here."""
        return self._gatekeeper.was_away_since(moment)

    async def permits(self, calls: int, *, probe: bool = False) -> Sequence[Permit]:
        """Up to `calls` permits, at least one; none where the account's breaker is open.

        `probe`: the calls are reads, one of which may find out whether the carrier is back.
        """
        granted = self._demands.add(calls, probe=probe)
        if self._server is None or self._server.done():
            self._server = asyncio.create_task(self._serve())
        try:
            return await granted
        except asyncio.CancelledError:
            if not granted.cancelled() and not granted.exception():
                self._give_back_all(granted.result())
            raise

    async def placed(self, permit: Permit) -> Permit:
        """The permit with its place; without one where none was vacated in time, or something has gone wrong since."""
        if permit.place is not None or permit.moment <= self._trouble_at:
            return permit
        place = await self._places.take(permit.late_at)
        return Permit(place, asyncio.get_running_loop().time(), permit.late_at, permit.granted_at)

    def is_withdrawn(self, permit: Permit) -> bool:
        """Whether the account has got into trouble since it granted the permit: it rests, or its breaker is open."""
        return self._gatekeeper.is_withdrawn(permit)

    def end(self, permit: Permit, outcome: object, *, change: bool = False) -> None:
        """The permit's call, a read or a `change`, has ended. Its place is free for another unless it was abandoned."""
        if means_trouble(outcome):
            self._trouble_at = asyncio.get_running_loop().time()
            self._places.break_promises()
            self._much_news.set()
        if means_excess(outcome):
            self._bad_news.set()
        self._ended.append(Ended(outcome, change, permit.moment))
        if is_abandoned(outcome):
            self.abandon(permit)
        else:
            self.give_back(permit)

    def give_back(self, permit: Permit) -> None:
        """The permit's call was not made. Its place is free for another."""
        self._note_free(self._places.forgo(1) if permit.place is None else self._places.vacate(permit.place))

    def abandon(self, permit: Permit) -> None:
        """Nobody waits for the permit's call any more. The carrier may be at it still: its place frees itself in time.

        See `gate.CALL_ENDS_SECONDS`.
        """
        assert permit.place is not None
        self._places.abandon(permit.place)
        self._note_free(())

    async def close(self) -> None:
        """Report what has ended; permits that were never used are free at once. No call is in flight any more."""
        if self._server:
            self._server.cancel()
        self._demands.refuse()
        if self._asking:  # what it is being given now is free too
            await asyncio.gather(self._asking, return_exceptions=True)
        if self._reporter:
            self._much_news.set()  # it need not wait for more
            await asyncio.gather(self._reporter, return_exceptions=True)
        self._free.extend(self._places.held)
        self._places.held.clear()
        if self._has_news:
            await asyncio.to_thread(self._gatekeeper.tell, self._take_news())

    async def _serve(self) -> None:
        """Ask for everybody who waits here, as one: the account sees one run, and one transaction at a time."""
        try:
            await self._serve_all()
        except Exception as error:  # noqa: BLE001 -- whoever waits gets it
            self._demands.refuse(error)

    async def _serve_all(self) -> None:
        waited = False
        while self._demands:
            await self._places.promises_at_most(self._gatekeeper.turn // 2)
            wanted = self._demands.calls
            self._asking = asyncio.create_task(self._ask(wanted, probe=self._demands.probe))
            answer = await asyncio.shield(self._asking)
            if isinstance(answer, Permits):
                self._give_back_all(self._demands.hand_out(answer.permits, to_probes=answer.probe))
                waited = False
                if len(answer.permits) < min(wanted, self._gatekeeper.turn) and not answer.probe:
                    await _is_set_within(self._some_free, SCARCE_SECONDS)  # here; others free places, too
                elif answer.then:
                    await self._wait(answer.then)
            elif answer.open_ and waited:
                self._demands.refuse()
            else:
                await self._wait(answer)
                waited = answer.open_

    async def _wait(self, wait: Wait) -> None:
        """Come back when there is something to ask for."""
        self._waits = wait.seconds > SOON_SECONDS
        await asyncio.sleep(wait.seconds)
        self._waits = False

    async def _ask(self, wanted: int, *, probe: bool) -> Permits | Wait:
        """Ask, and note the places that come with the answer, whether or not anybody still waits for it."""
        places = self._places
        calls = min(wanted, self._gatekeeper.turn)
        places.promise(calls)  # until the answer is there, no place is given away that it may build on
        needless = calls
        try:
            answer = await asyncio.to_thread(
                self._gatekeeper.ask,
                calls,
                more=wanted - calls,
                probe=probe,
                held=len(places.held),
                stale=places.stale(),
                news=self._take_news(),
            )
            if isinstance(answer, Permits):
                places.hold([*answer.kept, *(one.place for one in answer.permits if one.place is not None)])
                needless -= sum(one.place is None for one in answer.permits)
        finally:
            self._note_free(places.forgo(needless))
        return answer

    def _give_back_all(self, permits: Sequence[Permit]) -> None:
        for permit in permits:
            self.give_back(permit)

    def _note_free(self, places: Sequence[int]) -> None:
        """Tell the account of free places, and of how calls have ended, soon."""
        self._free.extend(places)
        if len(self._free) * REPORTS_OF_A_TURN >= self._gatekeeper.turn:
            self._much_news.set()
        if len(self._free) * ENDS_OF_A_TURN >= self._gatekeeper.turn:
            self._some_free.set()
        if self._has_news and (self._reporter is None or self._reporter.done()):
            self._reporter = asyncio.create_task(self._report_soon())

    @property
    def _has_news(self) -> bool:
        return bool(self._free or self._ended)

    def _take_news(self) -> News:
        news = News(self._free, self._ended)
        self._free, self._ended = [], []
        self._some_free.clear()
        self._much_news.clear()
        self._bad_news.clear()
        return news

    async def _report_soon(self) -> None:
        while self._has_news:
            await _is_set_within(self._much_news, REPORT_SECONDS)
            if self._demands and not self._waits and not await _is_set_within(self._bad_news, REPORT_SECONDS):
                continue  # whoever is about to ask for the next permits reports as well
            if self._has_news:
                await asyncio.to_thread(self._gatekeeper.tell, self._take_news())


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, and no longer than that; whether it has come."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
