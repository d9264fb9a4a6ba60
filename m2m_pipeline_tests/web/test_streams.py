"""Event streams: they tell until the end, ask once for all who look, and end in order where they cannot go on."""

import asyncio
import json
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack

import psycopg
import pytest

from m2m_pipeline.domain.permissions import Role
from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline.services.browsing import Progress
from m2m_pipeline.storage.database import DatabaseUnavailableError
from m2m_pipeline.web.streams import Streams
from m2m_pipeline_tests.page.visitors import visitor
from m2m_pipeline_tests.web.door import Door, open_door
from m2m_pipeline_tests.world import TENANT, World

SEEN = Progress(7, BulkChangeStatus.QUEUED, {}, 0, None)
KEY = (1, 7)
CHANGES = "/api/v1/bulk-changes"


def events(text: str) -> list[tuple[str, dict[str, object]]]:
    blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.strip().split("\n\n")]
    return [(block["event"], json.loads(block["data"])) for block in blocks if "event" in block]


def test_progress_is_told_until_the_end(door: Door) -> None:
    change = door.world.submit().bulk_change_id
    with door.as_(Role.VIEWER).stream("GET", f"{CHANGES}/{change}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["x-accel-buffering"] == "no", "or a proxy in between keeps the events back"
        text = ""
        for piece in stream.iter_text():
            if "QUEUED" in piece:
                door.world.run(change)
            text += piece
    told = events(text)
    assert told[0][0] == "progress"
    assert (told[-1][0], told[-1][1]["status"], told[-1][1]["settled"]) == ("end", "PROCESSED", 3)
    again = door.as_(Role.VIEWER).get(f"{CHANGES}/{change}/events")
    assert [kind for kind, _ in events(again.text)] == ["end"]


def test_streams_are_bounded_for_each_caller(door: Door) -> None:
    change = door.world.submit().bulk_change_id
    client = door.as_(Role.VIEWER)
    streams = [client.stream("GET", f"{CHANGES}/{change}/events") for _ in range(10)]
    try:
        assert [stream.__enter__().status_code for stream in streams] == [200] * 10
        assert client.get(f"{CHANGES}/{change}/events").status_code == 429
        with door.as_(Role.OPERATOR).stream("GET", f"{CHANGES}/{change}/events") as other:
            assert other.status_code == 200
    finally:
        for stream in streams:
            stream.__exit__(None, None, None)


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


@pytest.fixture
def watched(world: World) -> Generator[list[Iterator[str]]]:
    """What is still to come of two open streams about one bulk change: the API's and the page's."""
    change = world.submit().bulk_change_id
    with ExitStack() as stack:
        door = stack.enter_context(open_door(world, dev_sign_in=True))
        page = stack.enter_context(visitor(door.url)).client
        streams = [
            stack.enter_context(door.as_().stream("GET", f"{CHANGES}/{change}/events")),
            stack.enter_context(page.stream("GET", f"/changes/{change}/events")),
        ]
        coming = [stream.iter_lines() for stream in streams]
        for lines in coming:
            assert any("QUEUED" in line for line in lines)
        yield coming


def lose_the_database(world: World) -> None:
    admin, _, name = world.database_url.replace("+psycopg", "").rpartition("/")
    with psycopg.connect(f"{admin}/postgres", autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
        connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'".encode())


def lose_a_table(world: World) -> None:
    world.sql("ALTER TABLE m2m.device_change RENAME TO gone")


def lose_the_bulk_change(world: World) -> None:
    world.sql("UPDATE m2m.tenant SET name = 'renamed' WHERE name = %s", TENANT)


@pytest.mark.parametrize("lose", [lose_the_database, lose_a_table, lose_the_bulk_change])
def test_a_stream_that_cannot_go_on_ends_in_order(
    watched: list[Iterator[str]], world: World, lose: Callable[[World], None]
) -> None:
    """The client then connects again, and hears what is the matter; a line that breaks off would tell it nothing."""
    lose(world)
    rest = [list(lines) for lines in watched]  # raises where the answer is cut off
    assert not any("end" in line for lines in rest for line in lines)
