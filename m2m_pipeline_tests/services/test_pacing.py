"""The account's budget across processes, by the carrier's own ledger."""

import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager

from m2m_pipeline.simulator.documents import AccountLimits
from m2m_pipeline.simulator.scenarios import Rule
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
