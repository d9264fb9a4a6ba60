"""Event streams: many that look at one bulk change ask the database once, and one that cannot go on ends in order."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline.services.browsing import Progress
from m2m_pipeline.storage.database import DatabaseUnavailableError
from m2m_pipeline.web.streams import Streams

SEEN = Progress(7, BulkChangeStatus.QUEUED, {}, 0, None)
KEY = (1, 7)


async def ask_at_once(streams: Streams, look: Callable[[], Progress], viewers: int) -> list[asyncio.Task[Progress]]:
    """The viewers' questions, all of them asked."""
    asked = [asyncio.create_task(streams.progress(KEY, look)) for _ in range(viewers)]
    await asyncio.sleep(0)  # each has come as far as it comes without an answer
    return asked


def test_twenty_viewers_at_once_make_one_look_also_where_the_first_of_them_goes() -> None:
    looks: list[None] = []
    answer = threading.Event()

    def look() -> Progress:
        looks.append(None)
        assert answer.wait(10)
        return SEEN

    async def play() -> list[Progress | BaseException]:
        first, *others = await ask_at_once(Streams(), look, 20)
        first.cancel()
        answer.set()
        return await asyncio.gather(*others, return_exceptions=True)

    assert asyncio.run(play()) == [SEEN] * 19
    assert len(looks) == 1


def test_a_look_that_fails_is_told_to_all_who_wait_for_it_and_to_nobody_afterwards() -> None:
    outcomes = iter([DatabaseUnavailableError("away"), SEEN])

    def look() -> Progress:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def play() -> Progress:
        streams = Streams()
        for asked in await ask_at_once(streams, look, 3):
            with pytest.raises(DatabaseUnavailableError):
                await asked
        return await streams.progress(KEY, look)

    assert asyncio.run(play()) == SEEN
