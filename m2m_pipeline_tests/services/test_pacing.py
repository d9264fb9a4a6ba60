"""The account's budget across processes, by the carrier's own ledger."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from itertools import pairwise

from m2m_pipeline.domain.budget import Limits
from m2m_pipeline.services.pacing import Pacer
from m2m_pipeline.simulator.documents import AccountLimits
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline.storage.database import Database
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import USERNAME, Options, World

DEADLINE_SECONDS = 60.0


@contextmanager
def caller(world: World, calls_per_second: float, in_flight: int) -> Generator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "m2m_pipeline_tests.services.caller", world.database_url, world.carrier_url]
    with subprocess.Popen(
        [*command, str(calls_per_second), str(in_flight)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "calling\n"
            yield process
        finally:
            process.kill()


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_for_calls(world: World, number: int) -> None:
    wait_until(lambda: world.control.summary().calls >= number)


def test_processes_that_share_an_account_exceed_neither_its_rate_nor_its_calls_in_flight(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=1))
    world.control.set_latency(20, 100)
    with ExitStack() as callers:
        for _ in range(3):
            callers.enter_context(caller(world, 40, 6))
        world.control.reset()
        wait_for_calls(world, 200)
        summary = world.control.summary()

    assert summary.max_calls_in_a_second[USERNAME] <= 40
    assert summary.max_in_flight[USERNAME] <= 6


def test_the_place_of_a_killed_process_is_not_given_away_while_its_call_may_be_under_way(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=1))
    hanging = world.trouble(Rule(name="hang"))
    with caller(world, 40, 1) as killed:
        wait_for_calls(world, 1)
        killed.kill()
    world.control.stop(hanging)
    with caller(world, 40, 1):
        wait_until(lambda: world.sql("SELECT 1 FROM m2m.carrier_gate WHERE jsonb_array_length(waiting) > 0") != [])
        assert world.control.summary().calls == 1

        world.sql("UPDATE m2m.carrier_call SET ends_at = 0")
        wait_for_calls(world, 2)


def test_a_limit_that_the_carrier_tightened_is_learned(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=1))
    with caller(world, 100, 10):
        world.control.set_limits(AccountLimits(calls_per_second=20))
        world.control.reset()
        wait_for_calls(world, 150)
    refused = sum(call.error_code == "40000029" for call in world.control.calls()[-60:])

    assert refused <= 15


_EVERY_THIRD_COMMIT_IS_SLOW = """
CREATE SEQUENCE public.commits;
CREATE FUNCTION public.stall() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF mod(nextval('public.commits'), 3) = 0 THEN
        PERFORM pg_sleep(0.08);
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER stall AFTER UPDATE ON m2m.carrier_gate
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.stall();
"""


def test_a_slow_commit_does_not_put_off_the_moments_that_were_reserved(make_world: MakeWorld) -> None:
    """Moments that came later by the time of a commit would crowd those of the next commit, which was quick."""
    world = make_world(Options(devices=1))
    world.sql(_EVERY_THIRD_COMMIT_IS_SLOW)
    database = Database(world.database_url)
    moments = asyncio.run(_moments(Pacer(database, "an account", Limits(calls_per_second=40, in_flight=20)), 100))
    database.dispose()

    spacing = 1 / 40
    assert all(later - earlier > spacing / 2 for earlier, later in pairwise(moments))
    assert all(later - earlier > 1 for earlier, later in zip(moments, moments[40:], strict=False))


async def _moments(pacer: Pacer, number: int) -> list[float]:
    """The moments of so many permits, none of which is used."""
    moments: list[float] = []
    while len(moments) < number:
        for permit in await pacer.permits(number):
            moments.append(permit.moment)
            pacer.give_back(permit)
    await pacer.close()
    return moments
