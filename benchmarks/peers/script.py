"""The hand-written script: a queue, 100 coroutines, outcome rows 100 at a time. No intent, no lease, no audit."""

import asyncio
from collections.abc import Mapping

import psycopg

from benchmarks.fleet import iccids
from benchmarks.peers.task import IN_FLIGHT, INSERT, Task, async_client, put
from benchmarks.protocol import Worker

ROWS_A_COMMIT = 100


def prepare(argument: str) -> Worker:
    """Nothing to prepare; the order is the word to begin."""
    task = Task.model_validate_json(argument)

    def work(_: str) -> Mapping[str, str]:
        asyncio.run(_run(task))
        return {}

    return work


async def _run(task: Task) -> None:
    left = iter(iccids(0, task.devices))
    outcomes: list[tuple[str, int]] = []
    async with (
        await psycopg.AsyncConnection.connect(task.database_url) as connection,
        async_client(task) as client,
    ):
        writing = asyncio.Lock()

        async def commit() -> None:
            async with writing:
                rows = outcomes[:]
                outcomes.clear()
                async with connection.transaction(), connection.cursor() as cursor:
                    await cursor.executemany(INSERT, rows)

        async def caller() -> None:
            for iccid in left:
                outcomes.append((iccid, await put(client, iccid)))
                if len(outcomes) >= ROWS_A_COMMIT:
                    await commit()

        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(caller())
        await commit()
