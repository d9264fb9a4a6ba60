"""The open event streams of this process: how many, and what they show."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable

from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from m2m_pipeline.services.browsing import Progress
from m2m_pipeline.web.problems import ProblemError

LOOK_SECONDS = 1.0
MAX_STREAMS = 200
MAX_STREAMS_A_CALLER = 10


class Streams:
    """Counts them, and lets many that look at one bulk change ask the database once."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._seen: dict[tuple[int, int], tuple[float, Progress]] = {}

    def serve(self, caller: str, events: AsyncIterator[str]) -> StreamingResponse:
        """Answer with these events, counted as a stream of the caller's until they end or nobody listens.

        Raises:
            ProblemError: it is one too many.

        """
        self._enter(caller)
        # Without the header, a proxy in between keeps the events back.
        headers = {"X-Accel-Buffering": "no"}
        return StreamingResponse(self._counted(caller, events), media_type="text/event-stream", headers=headers)

    async def progress(self, key: tuple[int, int], look: Callable[[], Progress]) -> Progress:
        """What `look` sees of the bulk change that `key` (tenant, id) names, as of the last second."""
        seen = self._seen.get(key)
        if seen is None or time.monotonic() - seen[0] >= LOOK_SECONDS:
            seen = self._seen[key] = (time.monotonic(), await run_in_threadpool(look))
        return seen[1]

    async def _counted(self, caller: str, events: AsyncIterator[str]) -> AsyncIterator[str]:
        try:
            async for event in events:
                yield event
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
        if not self._open:
            self._seen.clear()
