"""AMOP's own update: one bad row fails alone, what failed is told apart and driven again, nothing is sent twice."""

from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import NEW, OLD, OWNER, Options, World

REFUSE_ONE = (
    """
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'not this one';
    END $$
    """,
    """
    CREATE TRIGGER refuse BEFORE UPDATE ON m2m.device FOR EACH ROW
    WHEN (NEW.iccid = '{iccid}') EXECUTE FUNCTION public.refuse()
    """,
)


def refuse(world: World, iccid: str) -> None:
    """From now on, the inventory takes no update of this device."""
    for statement in REFUSE_ONE:
        world.sql(statement.replace("{iccid}", iccid))


def test_a_row_that_amop_refuses_fails_alone_and_is_told_apart_from_a_refusal(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=6))
    victim = world.iccids[3]
    refuse(world, victim)
    document, evidence = world.submit_and_run(batch_size=6)

    assert document.status is BulkChangeStatus.PARTIAL
    assert document.counts == {"PROCESSED": 5, "AMOP_FAILED": 1}
    row = evidence.row(victim)
    assert (row.status, row.reason) == ("AMOP_FAILED", "AMOP_UPDATE_FAILED")
    assert "not this one" not in str(row.message)
    assert evidence.carrier[victim].rate_plan == NEW
    assert evidence.amop[victim][0] == OLD
    assert ("AMOP_UPDATE", "AMOP_FAILED") in [(e.kind, e.outcome) for e in evidence.entries(victim)]
    check_all(evidence)


def test_an_update_that_had_to_give_way_to_somebody_elses_is_said_again(make_world: MakeWorld) -> None:
    """As where an import and we came to the same devices in different order."""
    world = make_world(Options(devices=3))
    world.sql(
        """
        CREATE SEQUENCE public.given_way;
        CREATE FUNCTION public.give_way() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF nextval('public.given_way') <= 2 THEN
                RAISE EXCEPTION 'deadlock detected' USING ERRCODE = 'deadlock_detected';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER give_way BEFORE UPDATE ON m2m.device FOR EACH ROW EXECUTE FUNCTION public.give_way();
        """
    )
    document, evidence = world.submit_and_run(batch_size=3)

    assert document.counts == {"PROCESSED": 3}
    check_all(evidence)


def test_a_device_that_left_the_inventory_after_its_change_fails_alone(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=4))
    bulk_change_id = world.submit(batch_size=4).bulk_change_id
    (batch,) = world.prepare(bulk_change_id)
    world.services.execution.change_devices(batch, OWNER)
    gone = world.iccids[0]
    world.sql("UPDATE m2m.device_change SET device_id = NULL WHERE iccid = %s", gone)
    world.sql("DELETE FROM m2m.device WHERE iccid = %s", gone)
    world.services.execution.update_amop(batch, OWNER)
    world.services.execution.write_audit(batch, OWNER)
    document = world.services.execution.finalize(bulk_change_id, OWNER)

    assert document.counts == {"PROCESSED": 3, "AMOP_FAILED": 1}
    assert "no longer in the inventory" in str(world.evidence(bulk_change_id).row(gone).message)


def test_an_update_that_failed_is_driven_again_without_a_call(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=3))
    victim = world.iccids[1]
    refuse(world, victim)
    bulk_change_id = world.submit(batch_size=3).bulk_change_id
    (batch,) = world.prepare(bulk_change_id)
    world.drive(batch)
    assert world.evidence(bulk_change_id).row(victim).status == "AMOP_FAILED"
    puts = world.puts()
    world.sql("DROP TRIGGER refuse ON m2m.device")
    for again in world.services.execution.plan_batches(bulk_change_id, OWNER):
        world.drive(again)
    document = world.services.execution.finalize(bulk_change_id, OWNER)
    evidence = world.evidence(bulk_change_id)

    assert document.status is BulkChangeStatus.PROCESSED
    assert world.puts() == puts
    assert [(e.kind, e.outcome) for e in evidence.entries(victim)][-2:] == [
        ("AMOP_UPDATE", "AMOP_FAILED"),
        ("AMOP_UPDATE", "PROCESSED"),
    ]
    check_all(evidence)


def test_an_amop_failure_holds_its_device_until_it_is_repaired(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=1))
    refuse(world, world.iccids[0])
    world.submit_and_run()
    assert world.sql("SELECT count(*) FROM m2m.device_change WHERE status = 'AMOP_FAILED'") == [(1,)]
    assert world.services.accounts.import_devices(world.provider, []) == 0
    world.import_devices(world.iccids, "Plan Third")
    assert world.sql("SELECT rate_plan FROM m2m.device") == [(OLD,)]
