"""An account has one budget, whichever providers it is configured by, and whenever: by the carrier's own ledger."""

import asyncio
from collections.abc import Sequence

from m2m_pipeline.domain.accounts import Credential, ServiceProvider
from m2m_pipeline.services.accounts import ProviderSettings
from m2m_pipeline.services.paced import CarrierDoor, PacedCarrier
from m2m_pipeline.storage.database import Database
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import API_KEY, PROVIDER, TENANT, USERNAME, Options, QuickCarriers, World

WIDE = Options(devices=1, calls_per_second=200.0, in_flight=10)
CALLS_PER_SECOND, IN_FLIGHT = 10, 2
CALLS = 15
NARROW = ProviderSettings(calls_per_second=CALLS_PER_SECOND, in_flight=IN_FLIGHT)


async def call_of_all(world: World, providers: Sequence[ServiceProvider]) -> None:
    """Each makes as many calls as it may."""
    database = Database(world.database_url)
    door = CarrierDoor(database, QuickCarriers())
    carriers = [door.open(provider, Credential(USERNAME, API_KEY)) for provider in providers]
    await asyncio.gather(*(call(world, carrier) for carrier in carriers))
    await asyncio.gather(*(carrier.close() for carrier in carriers))
    database.dispose()


async def call(world: World, carrier: PacedCarrier) -> None:
    await asyncio.gather(*(carrier.read_device(world.iccids[0]) for _ in range(CALLS)))


def assert_that_the_limits_were_kept(world: World, calls: int) -> None:
    summary = world.control.summary()
    assert summary.calls == calls
    assert summary.max_calls_in_a_second[USERNAME] <= CALLS_PER_SECOND
    assert summary.max_in_flight[USERNAME] <= IN_FLIGHT


def test_two_providers_of_one_account_share_the_limits_of_the_narrower(make_world: MakeWorld) -> None:
    world = make_world(WIDE)
    world.control.set_latency(50, 100)
    neighbour = ProviderSettings("POD19", world.carrier_url, USERNAME, API_KEY, CALLS_PER_SECOND, IN_FLIGHT)
    narrow = world.services.accounts.configure("another tenant", "the same account", neighbour, actor="test")
    asyncio.run(call_of_all(world, [world.provider, narrow]))

    assert_that_the_limits_were_kept(world, 2 * CALLS)


def test_limits_that_are_lowered_hold_for_the_runs_that_are_at_work(make_world: MakeWorld) -> None:
    world = make_world(WIDE)
    world.control.set_latency(50, 100)

    async def work() -> None:
        database = Database(world.database_url)
        carrier = CarrierDoor(database, QuickCarriers()).open(world.provider, Credential(USERNAME, API_KEY))
        await call(world, carrier)
        world.services.accounts.configure(TENANT, PROVIDER, NARROW, actor="test")
        world.control.reset()
        await call(world, carrier)
        await carrier.close()
        database.dispose()

    asyncio.run(work())

    assert_that_the_limits_were_kept(world, CALLS)
