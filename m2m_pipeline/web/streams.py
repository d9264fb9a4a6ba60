"""The open event streams of this process: how many, and what they show."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from m2m_pipeline.services.browsing import Progress
from m2m_pipeline.services.reporting import BulkChangeUnknownError
from m2m_pipeline.storage.database import DatabaseRefusedError, DatabaseUnavailableError
from m2m_pipeline.web.problems import ProblemError

LOOK_SECONDS = 1.0
MAX_STREAMS = 200
MAX_STREAMS_A_CALLER = 10
_STOPS = (DatabaseUnavailableError, DatabaseRefusedError, BulkChangeUnknownError)


@dataclass(frozen=True, slots=True)
class _Look:
    """A question to the database, asked at `began` (monotonic seconds), and what comes or came of it."""

    began: float
    outcome: asyncio.Task[Progress]

    @property
    def holds(self) -> bool:
        """Whether it answers who asks now, too. A failed one does not."""
        if not self.outcome.done():
            return True
        failed = self.outcome.cancelled() or self.outcome.exception() is not None
        return not failed and time.monotonic() - self.began < LOOK_SECONDS


class Streams:
    """Counts them, and lets many that look at one bulk change ask the database once."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._looks: dict[tuple[int, int], _Look] = {}

    def serve(self, caller: str, events: AsyncIterator[str]) -> StreamingResponse:
        """Answer with these events, counted as a stream of the caller's until they end or nobody listens.

        Where they cannot go on, the answer ends without another one.

        Raises:
            ProblemError: it is one too many.

        """
        self._enter(caller)
        # Without the header, a proxy in between keeps the events back.
        headers = {"X-Accel-Buffering": "no"}
        return StreamingResponse(self._counted(caller, events), media_type="text/event-stream", headers=headers)

    async def progress(self, key: tuple[int, int], look: Callable[[], Progress]) -> Progress:
        """What `look` sees of the bulk change that `key` (tenant, id) names, as of the last second.

        Raises what `look` raises.
        """
        self._looks = {one: asked for one, asked in self._looks.items() if asked.holds}
        if key not in self._looks:
            self._looks[key] = _Look(time.monotonic(), asyncio.create_task(run_in_threadpool(look)))
        # Who asked first may go before the answer comes; the others wait on.
        return await asyncio.shield(self._looks[key].outcome)

    async def _counted(self, caller: str, events: AsyncIterator[str]) -> AsyncIterator[str]:
        try:
            async for event in events:
                yield event
        except _STOPS:
            return  # the client connects again, and hears what is the matter
        finally:
            self._leave(caller)

    def _enter(self, caller: str) -> None:
        if self._open.total() >= MAX_STREAMS or self._open[caller] >= MAX_STREAMS_A_CALLER:
            detail = f"At most {MAX_STREAMS_A_CALLER} streams a caller and {MAX_STREAMS} in all are open at once."
            raise ProblemError("too-many-streams", detail)
        self._open[caller] += 1

    def _leave(self, caller: str) -> None:
        self._open[caller] -= 1
        if not self._open[caller]:
            del self._open[caller]
