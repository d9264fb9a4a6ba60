"""The open event streams of this process: how many, and what they show."""

import time
from collections import Counter
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool

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

    def enter(self, caller: str) -> None:
        """Count a stream.

        Raises:
            ProblemError: it is one too many.

        """
        if self._open.total() >= MAX_STREAMS or self._open[caller] >= MAX_STREAMS_A_CALLER:
            detail = f"At most {MAX_STREAMS_A_CALLER} streams a caller and {MAX_STREAMS} in all are open at once."
            raise ProblemError("too-many-streams", detail)
        self._open[caller] += 1

    def leave(self, caller: str) -> None:
        """Count it no more."""
        self._open[caller] -= 1
        if not self._open[caller]:
            del self._open[caller]
        if not self._open:
            self._seen.clear()

    async def progress(self, key: tuple[int, int], look: Callable[[], Progress]) -> Progress:
        """What `look` sees of the bulk change that `key` (tenant, id) names, as of the last second."""
        seen = self._seen.get(key)
        if seen is None or time.monotonic() - seen[0] >= LOOK_SECONDS:
            seen = self._seen[key] = (time.monotonic(), await run_in_threadpool(look))
        return seen[1]
