"""The places that one process has among an account's calls in flight."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

STALE_SECONDS = 1.0
"""How old the account's knowledge of a place may be when more calls are promised a place that is held already."""

PATIENCE_SECONDS = 2.0
"""How long a call waits for a place that it was promised; what the account knows of the place covers the call then."""


@dataclass
class Places:
    """Places that are held; some calls are promised one of them as soon as the call in it has ended.

    So a call follows another at once: neither its permit nor the commit of its intent has to be waited for in between.
    """

    held: dict[int, float] = field(default_factory=dict[int, float])  # since when the account knows of it
    _promised: int = 0
    _parked: deque[int] = field(default_factory=deque[int])
    _waiting: deque[asyncio.Future[int | None]] = field(default_factory=deque[asyncio.Future[int | None]])
    _fewer: asyncio.Event = field(default_factory=asyncio.Event)

    def hold(self, places: Iterable[int]) -> None:
        """The account knows of these places as of now."""
        self.held.update(dict.fromkeys(places, time.monotonic()))

    def promise(self, calls: int) -> None:
        """So many more calls get a place when one is vacated; each is taken or forgone."""
        self._promised += calls

    def stale(self) -> Sequence[int]:
        """Places of which the account should be told again."""
        now = time.monotonic()
        return [place for place, since in self.held.items() if now - since > STALE_SECONDS]

    async def promises_at_most(self, calls: int) -> None:
        """Wait until no more calls than that wait for a place."""
        while self._promised > calls:
            self._fewer.clear()
            await self._fewer.wait()

    async def take(self, until: float) -> int | None:
        """The place that was promised, once one is vacated; None where that is not by `until`, or not any more."""
        if self._parked:
            self._keep_promises(1)
            return self._parked.popleft()
        waiting: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout_at(until):
                return await waiting
        except TimeoutError:
            return None if waiting.cancelled() else waiting.result()
        except asyncio.CancelledError:  # whoever waited forgoes its place: it must not have been given one
            if not waiting.cancelled() and (place := waiting.result()) is not None:
                self.promise(1)
                self.vacate(place)
            raise

    def vacate(self, place: int) -> Sequence[int]:
        """The call in the place has ended; the places that are free for the account then."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(place)
                self._keep_promises(1)
                return ()
        self._parked.append(place)
        return self._surplus()

    def forgo(self, calls: int) -> Sequence[int]:
        """So many calls do not need the place they were promised; the places that are free for the account then."""
        self._keep_promises(calls)
        return self._surplus()

    def abandon(self, place: int) -> None:
        """Whether the call in the place has ended is not known: nobody gets it here."""
        self.held.pop(place, None)

    def break_promises(self) -> None:
        """Whoever waits for a place is told that there is none: it forgoes it."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)

    def _keep_promises(self, calls: int) -> None:
        self._promised -= calls
        self._fewer.set()

    def _surplus(self) -> Sequence[int]:
        free = [self._parked.pop() for _ in range(len(self._parked) - self._promised)]
        for place in free:
            del self.held[place]
        return free
