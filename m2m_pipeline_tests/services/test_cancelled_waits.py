"""Whoever stops waiting, for a permit or for its place, keeps neither from the others who wait here."""

import asyncio
import random
from collections.abc import Generator

import pytest

from m2m_pipeline.domain.budget.gate import Limits
from m2m_pipeline.domain.carrier import Leave
from m2m_pipeline.services.departing import StaysHereError, call_in_time
from m2m_pipeline.services.pacing import Pacer
from m2m_pipeline.storage import gate
from m2m_pipeline.storage.database import Database
from m2m_pipeline_tests.local.waiting import wait_until

ACCOUNT = "an account"
LIMITS = Limits(calls_per_second=1000, in_flight=4)
"""Places are what is scarce: most calls are promised one that another call is in still."""

CALLS = 120
CALL_SECONDS = 0.005


@pytest.fixture
def database(database_url: str) -> Generator[Database]:
    database = Database(database_url)
    yield database
    database.dispose()


def in_flight(database: Database) -> int:
    with database.begin() as tx:
        return gate.lock(tx, ACCOUNT).in_flight


class Call:
    """A call that is made as soon as it may be."""

    def __init__(self, pacer: Pacer) -> None:
        self.left = False
        self.task = asyncio.create_task(self._make(pacer))

    async def _make(self, pacer: Pacer) -> None:
        while permits := await pacer.permits(1):
            try:
                return await call_in_time(pacer, permits[0], self._said)
            except StaysHereError:
                continue
        raise AssertionError("no permit, and no trouble")

    async def _said(self, leave: Leave) -> None:
        await leave()
        self.left = True
        await asyncio.sleep(CALL_SECONDS)


@pytest.mark.parametrize("seed", range(4))
def test_who_is_cancelled_while_it_waits_keeps_no_place_from_the_others(database: Database, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 -- which call is cancelled, and when

    async def play() -> None:
        pacer = Pacer(database, ACCOUNT, LIMITS)
        calls = [Call(pacer) for _ in range(CALLS)]
        doomed: list[Call] = []
        while waiting := [call for call in calls if not call.left and call not in doomed][: CALLS // 2 - len(doomed)]:
            doomed.append(chance.choice(waiting))
            doomed[-1].task.cancel()
            await asyncio.sleep(chance.uniform(0, CALL_SECONDS))
        async with asyncio.timeout(30):
            await asyncio.gather(*(call.task for call in calls if call not in doomed))
        await asyncio.to_thread(wait_until, lambda: in_flight(database) == 0, "no place is in use", 10)
        await pacer.close()
        assert len(doomed) > CALLS / 10, "the case was played"

    asyncio.run(play())
