"""A durable-workflow library: an async workflow a device of two steps, a queue of 100."""

import asyncio
from collections.abc import Mapping

import httpx
import psycopg_pool
from dbos import DBOS

from benchmarks.fleet import iccids
from benchmarks.peers.task import IN_FLIGHT, INSERT, Task, async_client, put
from benchmarks.protocol import Worker

QUEUE = "devices"
POLLING_SECONDS = 0.1
"""How often the queue looks for work. Of 0.1, 0.5 and 1.0 (the default) the first was the quickest, and of the same
for results the last, which is their default."""

POOL = 20


class Open:
    """What the steps use, opened when the work begins."""

    http: httpx.AsyncClient
    pool: psycopg_pool.AsyncConnectionPool


@DBOS.step()
async def put_device(iccid: str) -> int:
    """Move the device."""
    return await put(Open.http, iccid)


@DBOS.step()
async def write_outcome(iccid: str, status: int) -> None:
    """Write how it ended."""
    async with Open.pool.connection() as connection:
        await connection.execute(INSERT, (iccid, status))


@DBOS.workflow()
async def change_device(iccid: str) -> None:
    """One device."""
    await write_outcome(iccid, await put_device(iccid))


def prepare(argument: str) -> Worker:
    """The order is the word to begin; making the library's tables is start-up, and done before it."""
    task = Task.model_validate_json(argument)
    DBOS(config={"name": "bench", "system_database_url": task.database_url, "log_level": "WARNING"})
    runner = asyncio.Runner()
    runner.run(_launch())

    def work(_: str) -> Mapping[str, str]:
        with runner:
            runner.run(_run(task))
            DBOS.destroy()
        return {}

    return work


async def _launch() -> None:
    """In the loop of the application, which the workflows then share with their HTTP client and their pool."""
    DBOS.launch()
    await DBOS.register_queue_async(QUEUE, worker_concurrency=IN_FLIGHT, polling_interval_sec=POLLING_SECONDS)


async def _run(task: Task) -> None:
    async with (
        async_client(task) as Open.http,
        psycopg_pool.AsyncConnectionPool(
            task.database_url, min_size=POOL, max_size=POOL, kwargs={"autocommit": True}
        ) as Open.pool,
    ):
        handles = [await DBOS.enqueue_workflow_async(QUEUE, change_device, one) for one in iccids(0, task.devices)]
        await asyncio.gather(*(handle.get_result() for handle in handles))
