"""What runs at once on one account shares its calls, by the carrier's ledger and by the permits of the budget."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from m2m_pipeline.domain.budget.gate import Limits
from m2m_pipeline.services.departing import MissedError, in_time
from m2m_pipeline.services.pacing import Pacer
from m2m_pipeline.storage.database import Database
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import Options, World

CALLS_PER_SECOND = 40.0
DEADLINE_SECONDS = 60.0

SMALL, BIG = 10, 150
PRIORITY = 3
TIMES_THE_TURNS = 1 + PRIORITY
EQUAL = 50


def moments(world: World, iccids: Sequence[str]) -> list[float]:
    """When the carrier was asked to change these devices."""
    return [call.start for call in world.control.calls() if call.method == "PUT" and call.iccid in set(iccids)]


def wait_for_changes(world: World, number: int) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while world.puts() < number:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_small_change_beside_a_big_one_takes_turns_with_it(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=SMALL + BIG, calls_per_second=CALLS_PER_SECOND))
    world.control.set_latency(30, 100)
    small, big = world.iccids[:SMALL], world.iccids[SMALL:]
    first = world.submit(big, batch_size=BIG).bulk_change_id
    second = world.submit(small, batch_size=SMALL).bulk_change_id
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(world.run, first, "run of the big one")
        wait_for_changes(world, SMALL)
        world.run(second, "run of the small one")
        running.result()

    ours, theirs = moments(world, small), moments(world, big)
    meanwhile = sum(ours[0] < moment < ours[-1] for moment in theirs)
    assert meanwhile <= 3 * SMALL  # one for one, and where the machine is busy some turns that it comes too late for
    assert theirs[-1] > ours[-1]


def test_of_two_changes_the_urgent_one_gets_the_calls_that_its_priority_says(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=2 * EQUAL, calls_per_second=CALLS_PER_SECOND, in_flight=1))
    ordinary, urgent = world.iccids[:EQUAL], world.iccids[EQUAL:]
    owners = {"run of the ordinary one": (ordinary, 0), "run of the urgent one": (urgent, PRIORITY)}
    batches = {
        owner: world.prepare(world.submit(chosen, batch_size=EQUAL, priority=priority).bulk_change_id, owner)
        for owner, (chosen, priority) in owners.items()
    }
    with ThreadPoolExecutor(2) as threads:
        for driven in [threads.submit(world.drive, batch, owner) for owner, (batch,) in batches.items()]:
            driven.result()

    calls = [moments(world, one) for one in (urgent, ordinary)]
    first, last = max(one[0] for one in calls), min(one[-1] for one in calls)  # in between, both want calls
    shares = [sum(first <= moment <= last for moment in one) for one in calls]
    assert shares[0] / shares[1] == pytest.approx(TIMES_THE_TURNS, rel=0.4)


def test_of_two_runs_the_urgent_one_gets_more_calls_where_one_may_be_in_flight(database_url: str) -> None:
    database = Database(database_url)
    limits = Limits(CALLS_PER_SECOND, in_flight=1)
    urgent, ordinary = (Pacer(database, "an account", limits, weight) for weight in (TIMES_THE_TURNS, 1))
    calls = asyncio.run(_calls(urgent, ordinary))
    database.dispose()

    assert calls[0] / calls[1] == pytest.approx(TIMES_THE_TURNS, rel=0.4)


async def _calls(*pacers: Pacer) -> Sequence[int]:
    """How many calls each makes until one has made `EQUAL`, while all always want the next."""
    enough = asyncio.Event()
    made = [0 for _ in pacers]

    async def call(number: int) -> None:
        pacer = pacers[number]
        while not enough.is_set():
            (granted,) = await pacer.permits(1)
            try:
                permit = await in_time(pacer, granted)
            except MissedError:
                continue
            await asyncio.sleep(0.01)
            pacer.end(permit, None)
            made[number] += not enough.is_set()
            if made[number] >= EQUAL:
                enough.set()

    await asyncio.gather(*(call(number) for number, _ in enumerate(pacers) for _ in range(2)))
    await asyncio.gather(*(pacer.close() for pacer in pacers))
    return made
