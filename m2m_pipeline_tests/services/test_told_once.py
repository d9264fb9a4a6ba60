"""Outcomes whose commit stood, while its answer was lost and the database then stayed away, are told once."""

import asyncio
from collections.abc import Generator

import pytest
import stamina
from sqlalchemy import make_url

from m2m_pipeline.domain.change import DeviceWork
from m2m_pipeline.domain.outcome import Answer, Applied
from m2m_pipeline.services.execution.access import Denied
from m2m_pipeline.services.execution.outcomes import after_call
from m2m_pipeline.services.execution.workbench import Workbench
from m2m_pipeline.storage import device_changes
from m2m_pipeline.storage.database import DatabaseUnavailableError
from m2m_pipeline_tests.faults.proxy import Harm, Outage, Proxy, proxy_before
from m2m_pipeline_tests.world import OWNER, World

CALLS = 7


@pytest.fixture
def proxy(world: World) -> Generator[Proxy]:
    """Between the world's services and their database."""
    direct = make_url(world.database_url)
    with proxy_before(str(direct.host), int(direct.port or 0)) as proxy:
        by_detour = direct.set(port=proxy.port).render_as_string(hide_password=False)
        usual, world.database_url = world.database_url, by_detour
        world.services.close()
        world.services = world.application()
        world.database_url = usual
        yield proxy
        world.services.close()


def test_a_commit_that_stood_while_nobody_could_tell_is_not_made_again(world: World, proxy: Proxy) -> None:
    bulk_change_id = world.submit(batch_size=3).bulk_change_id
    world.prepare(bulk_change_id)

    with stamina.set_testing(True, attempts=2):
        asyncio.run(tell_through_an_outage(world, proxy, bulk_change_id))

    entries = [entry for entry in world.evidence(bulk_change_id).audit if entry.kind == "CARRIER_CALL"]
    assert sorted(str(entry.iccid) for entry in entries) == sorted(world.iccids)
    assert world.sql("SELECT carrier_calls FROM m2m.bulk_change") == [(1 + CALLS,)]  # one for the sign-in


async def tell_through_an_outage(world: World, proxy: Proxy, bulk_change_id: int) -> None:
    """Commit two outcomes through an outage, and a third, that came meanwhile, after it."""
    bench = bench_of(world, bulk_change_id)
    session = bench.session
    first, second, third = await bench.mark_sending(list(bench.devices.values()))

    take(bench, first, second)
    session.carrier.pacer.calls += CALLS
    proxy.fault = outage = Outage(Harm.LOSE_ANSWER, b"COMMIT", after=b"CARRIER_CALL")
    with pytest.raises(DatabaseUnavailableError):
        await bench.commit()
    assert outage.harm is Harm.CUT_BEFORE
    take(bench, third)
    proxy.fault = None
    await bench.commit()
    await session.close()


def bench_of(world: World, bulk_change_id: int, owner: str = OWNER) -> Workbench:
    """The first batch in work, in a session that the caller closes."""
    attempt = world.services.execution.claim(bulk_change_id, owner)
    credential = world.services.sessions.credential(world.provider)
    assert not isinstance(credential, Denied)
    session = world.services.sessions.open(attempt, world.provider, credential)
    with world.services.database.begin() as tx:
        work = device_changes.load_work(tx, bulk_change_id, 1)
    return Workbench(session, {device.id: device for device in work})


def take(bench: Workbench, *devices: DeviceWork) -> None:
    for device in devices:
        bench.take(after_call(device, Applied(Answer(200))))
