"""A PostgreSQL job queue: a job a device, one async worker of 100."""

import asyncio
from collections.abc import Mapping

import procrastinate
import psycopg_pool

from benchmarks.fleet import iccids
from benchmarks.peers.task import IN_FLIGHT, INSERT, Task, async_client, put
from benchmarks.protocol import Worker

POOL = 20
"""Connections, of the queue and of the outcome rows: of 10, 20 and 50 none was quicker."""


def prepare(argument: str) -> Worker:
    """Make the queue's tables; the order is the word to begin."""
    task = Task.model_validate_json(argument)
    asyncio.run(_make_tables(task))

    def work(_: str) -> Mapping[str, str]:
        asyncio.run(_run(task))
        return {}

    return work


def _app(task: Task) -> procrastinate.App:
    return procrastinate.App(
        connector=procrastinate.PsycopgConnector(conninfo=task.database_url, min_size=POOL, max_size=POOL)
    )


async def _make_tables(task: Task) -> None:
    async with _app(task).open_async() as app:
        await app.schema_manager.apply_schema_async()


async def _run(task: Task) -> None:
    app = _app(task)
    async with (
        app.open_async(),
        async_client(task) as client,
        psycopg_pool.AsyncConnectionPool(
            task.database_url, min_size=POOL, max_size=POOL, kwargs={"autocommit": True}
        ) as pool,
    ):

        @app.task(name="change_device")
        async def change_device(iccid: str) -> None:
            status = await put(client, iccid)
            async with pool.connection() as connection:
                await connection.execute(INSERT, (iccid, status))

        await change_device.batch_defer_async(*({"iccid": iccid} for iccid in iccids(0, task.devices)))
        await app.run_worker_async(concurrency=IN_FLIGHT, wait=False, install_signal_handlers=False)
