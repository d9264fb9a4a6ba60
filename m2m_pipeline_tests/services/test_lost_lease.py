"""A commit under way when the work is broken off meets a lost lease: whoever ends the work hears of it, and once."""

import asyncio
import gc

import psycopg
import pytest

from m2m_pipeline.domain.attempt import LeaseLostError
from m2m_pipeline.services.execution.running import run
from m2m_pipeline.services.execution.workbench import Workbench
from m2m_pipeline_tests.local.waiting import wait_until
from m2m_pipeline_tests.services.test_told_once import bench_of, take
from m2m_pipeline_tests.world import World

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def test_a_commit_that_was_under_way_leaves_no_error_that_nobody_looks_at(world: World) -> None:
    bulk_change_id = world.submit(batch_size=3).bulk_change_id
    world.prepare(bulk_change_id)
    unseen: list[object] = []

    with pytest.raises(LeaseLostError):
        run(lose_the_lease_in_a_commit(world, bulk_change_id, unseen))

    assert unseen == []


async def lose_the_lease_in_a_commit(world: World, bulk_change_id: int, unseen: list[object]) -> None:
    """Break the work off while its commit waits for another attempt, which takes the bulk change over."""
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context["message"]))
    bench = bench_of(world, bulk_change_id)
    take(bench, *await bench.mark_sending(list(bench.devices.values())))
    url = world.database_url.replace("+psycopg", "")  # as psycopg itself has it
    async with asyncio.TaskGroup() as group:
        with psycopg.connect(url) as other:
            other.execute("UPDATE m2m.bulk_change SET lease_token = lease_token + 1, lease_owner = 'another'")
            working = group.create_task(work_until_broken_off(bench))
            await asyncio.to_thread(wait_until, lambda: world.sql(WAITING) == [(1,)], "the commit that waits")
            working.cancel()
            await asyncio.sleep(0)  # it has begun to end
        try:
            await working
        finally:
            del working
            gc.collect()
            await bench.session.close()


async def work_until_broken_off(bench: Workbench) -> None:
    async with bench.committing():
        await asyncio.Event().wait()
