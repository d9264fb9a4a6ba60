"""The account's budget across processes, by the carrier's own ledger."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from itertools import pairwise

import pytest

from m2m_pipeline.domain.accounts import Credential
from m2m_pipeline.domain.budget.breaker import SILENT_IN_A_ROW
from m2m_pipeline.domain.budget.gate import Limits
from m2m_pipeline.domain.carrier import Carriers
from m2m_pipeline.services.departing import in_time
from m2m_pipeline.services.paced import CarrierDoor, PacedCarrier
from m2m_pipeline.services.pacing import Pacer
from m2m_pipeline.simulator.documents import AccountLimits
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline.storage import gate
from m2m_pipeline.storage.database import Database, DatabaseRefusedError
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import API_KEY, USERNAME, Options, QuickCarriers, World

DEADLINE_SECONDS = 60.0


@contextmanager
def caller(world: World, call_ends_seconds: float = gate.CALL_ENDS_SECONDS) -> Generator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "m2m_pipeline_tests.services.caller", world.database_url, world.carrier_url]
    limits = [str(world.options.calls_per_second), str(world.options.in_flight)]
    with subprocess.Popen([*command, *limits, str(call_ends_seconds)], stdout=subprocess.PIPE, text=True) as process:
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
    world = make_world(Options(devices=1, calls_per_second=40, in_flight=6))
    world.control.set_latency(20, 100)
    with ExitStack() as callers:
        for _ in range(3):
            callers.enter_context(caller(world))
        world.control.reset()
        wait_for_calls(world, 200)
        summary = world.control.summary()

    assert summary.max_calls_in_a_second[USERNAME] <= 40
    assert summary.max_in_flight[USERNAME] <= 6


IN_FLIGHT = 2
CALL_ENDS_SECONDS = 2.5
SLOW_MILLISECONDS = 2000.0


def test_after_a_takeover_the_calls_of_the_killed_process_count_until_they_must_have_ended(
    make_world: MakeWorld,
) -> None:
    world = make_world(Options(devices=1, calls_per_second=40, in_flight=IN_FLIGHT))
    world.control.set_latency(SLOW_MILLISECONDS, SLOW_MILLISECONDS)
    with caller(world, CALL_ENDS_SECONDS) as killed:
        wait_for_calls(world, IN_FLIGHT)
        killed.kill()
    world.control.set_latency(0, 0)

    async def call() -> None:
        async with opened(world) as other:
            await other.read_device(world.iccids[0])

    asyncio.run(call())

    assert_the_places_were_held(world)


@pytest.mark.parametrize("seconds", [0.2, 60.0], ids=["until its time limit", "until it is cancelled"])
def test_a_call_that_is_waited_for_no_longer_counts_until_it_must_have_ended(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr(gate, "CALL_ENDS_SECONDS", CALL_ENDS_SECONDS)
    world = make_world(Options(devices=1, in_flight=IN_FLIGHT))

    async def call() -> None:
        async with opened(world, QuickCarriers(read=seconds)) as impatient, opened(world) as other:
            world.control.set_latency(SLOW_MILLISECONDS, SLOW_MILLISECONDS)
            slow = [asyncio.create_task(impatient.read_device(world.iccids[0])) for _ in range(IN_FLIGHT)]
            await asyncio.to_thread(wait_for_calls, world, IN_FLIGHT)
            world.control.set_latency(0, 0)
            if seconds > CALL_ENDS_SECONDS:
                for task in slow:
                    task.cancel()
            await other.read_device(world.iccids[0])
            await asyncio.gather(*slow, return_exceptions=True)

    asyncio.run(call())

    assert_the_places_were_held(world)


@pytest.mark.usefixtures("quick_reads")
def test_probes_of_an_account_that_hangs_never_overlap_and_keep_their_distance(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "CALL_ENDS_SECONDS", 1.2)
    world = make_world(Options(devices=1, in_flight=4, probe=0.3))
    world.trouble(Rule(name="hang"))
    carriers = QuickCarriers(read=1.0)  # longer than a probe is to be apart from the next

    async def knock(carrier: PacedCarrier) -> None:
        while len(world.control.calls()) < SILENT_IN_A_ROW + 6:
            await carrier.read_device(world.iccids[0])

    async def knock_from_two_sides() -> None:
        async with opened(world, carriers) as one, opened(world, carriers) as other:
            await asyncio.gather(*(knock(carrier) for carrier in (one, other) for _ in range(2)))

    asyncio.run(knock_from_two_sides())

    ((opened_at,),) = world.sql("SELECT open_since FROM m2m.carrier_gate")
    probes = [call for call in world.control.calls() if call.wall > float(str(opened_at))]
    assert len(probes) >= 3
    for earlier, later in pairwise(probes):
        assert earlier.end is not None
        assert later.start >= earlier.end
        assert later.start - earlier.start >= world.options.probe


@asynccontextmanager
async def opened(world: World, carriers: Carriers | None = None) -> AsyncGenerator[PacedCarrier]:
    """The world's account under its budget."""
    database = Database(world.database_url)
    door = CarrierDoor(database, carriers or QuickCarriers(), world.options.probe)
    carrier = door.open(world.provider, Credential(USERNAME, API_KEY))
    try:
        yield carrier
    finally:
        await carrier.close()
        database.dispose()


def assert_the_places_were_held(world: World) -> None:
    """By the carrier's ledger: it was at no more calls than it allows, and others came when those had ended."""
    calls = world.control.calls()
    slow, others = calls[:IN_FLIGHT], calls[IN_FLIGHT:]
    assert others
    assert all(one.end is not None and one.end < other.start for one in slow for other in others)
    assert world.control.summary().max_in_flight[USERNAME] == IN_FLIGHT


def test_a_limit_that_the_carrier_tightened_is_learned(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=1, calls_per_second=100))
    with caller(world):
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


def test_who_waits_hears_of_an_error_though_another_who_waited_has_gone(empty_database_url: str) -> None:
    database = Database(empty_database_url)  # nobody has migrated it
    pacer = Pacer(database, "an account", Limits(calls_per_second=40, in_flight=20))

    async def wait() -> None:
        gone, waiting = (asyncio.create_task(pacer.permits(1)) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        async with asyncio.timeout(DEADLINE_SECONDS / 2):
            with pytest.raises(DatabaseRefusedError):
                await waiting

    asyncio.run(wait())
    database.dispose()


_COUNTED_FOR = "SELECT ends_at - extract(epoch FROM clock_timestamp()) FROM m2m.carrier_call WHERE id = %s"


def test_calls_that_follow_each_other_in_a_place_are_counted_until_they_must_have_ended(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where calls are plenty a place is used again and again: the account must not take it for a dead process's."""
    monkeypatch.setattr(gate, "CALL_ENDS_SECONDS", CALL_ENDS_SECONDS)
    world = make_world(Options(devices=1))
    database = Database(world.database_url)
    pacer = Pacer(database, "an account", Limits(calls_per_second=1000, in_flight=4))
    places: list[int] = []
    counted_for: list[float] = []

    async def call() -> None:
        for _ in range(12):
            (granted,) = await pacer.permits(1)
            permit = await in_time(pacer, granted)
            assert permit.place is not None
            ((seconds,),) = await asyncio.to_thread(world.sql, _COUNTED_FOR, permit.place)
            places.append(permit.place)
            counted_for.append(float(str(seconds)))
            await asyncio.sleep(0.1)
            pacer.end(permit, None)

    async def calls() -> None:
        await asyncio.gather(*(call() for _ in range(12)))
        await pacer.close()

    asyncio.run(calls())
    database.dispose()

    assert min(counted_for) > 0.1
    assert len(set(places)) < len(places) / 2
    assert world.sql("SELECT count(*) FROM m2m.carrier_call") == [(0,)]
