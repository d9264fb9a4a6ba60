"""Everything that the services do, they can do as the role of docs/audit.md, which owns nothing."""

import psycopg
from pydantic import SecretStr
from sqlalchemy import make_url

from m2m_pipeline.bootstrap import build
from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline.simulator.documents import Drift
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.services.test_reconciliation import MADE, end_unknown
from m2m_pipeline_tests.web.door import open_door
from m2m_pipeline_tests.world import OLD, THIRD, Options, World
from m2m_pipeline_tests.writer import writer_role


def test_the_role_that_owns_nothing_is_enough_for_the_services(make_world: MakeWorld) -> None:
    world = make_world(Options(patience=0.5))
    owners = world.services
    with writer_role(world.database_url) as role:
        with psycopg.connect(world.database_url.replace("+psycopg", "")) as owner:
            owner.execute(f"ALTER ROLE {role} PASSWORD 'of a test'".encode())
        url = make_url(world.database_url).set(username=role, password="of a test")
        address = SecretStr(url.render_as_string(hide_password=False))
        world.services = build(world.settings().model_copy(update={"database_url": address}))
        try:
            _a_life(world)
        finally:
            world.services.close()
            world.services = owners


def _a_life(world: World) -> None:
    """A change that is settled after its end, one that ends well, drift, the door, and all upkeep."""
    services = world.services
    end_unknown(world, MADE)
    assert world.settle() == 0
    document, _ = world.submit_and_run(rate_plan=THIRD)
    assert document.status is BulkChangeStatus.PROCESSED
    list(services.sweeping.sweep_leases())
    world.control.drift(world.iccids[0], Drift(rate_plan=OLD))
    services.drifting.find(world.provider, full=True)
    services.checks.of_everything()
    services.auditing.seal(all_of_it=True)
    assert all(one.holds for one in services.auditing.verify())
    services.alerting.watch()
    services.retention.purge_records()
    with open_door(world) as door:
        answer = door.as_().post("/api/v1/bulk-changes", json=door.request())
        assert answer.status_code == 202, answer.text
        assert door.as_().get("/api/v1/bulk-changes").status_code == 200
