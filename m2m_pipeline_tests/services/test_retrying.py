"""`m2m retry`: refused devices of an ended bulk change are tried again, and how they ended before stays on record."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline.services.reporting import BulkChangeUnknownError
from m2m_pipeline.services.retrying import NotRetryableError, Retried
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import TENANT, Options, World

pytestmark = pytest.mark.usefixtures("quick_reads")


def refuse(world: World, *chosen: str) -> None:
    """The carrier refuses these devices."""
    world.trouble(Rule(name="device_refused", iccids=frozenset(chosen)))


def retry(world: World, bulk_change_id: int) -> Retried:
    return world.services.retrying.retry(TENANT, bulk_change_id, "operator")


def test_a_refused_device_is_tried_again_and_no_other(world: World) -> None:
    refuse(world, world.iccids[0])
    document, _ = world.submit_and_run()
    assert document.counts == {"PROCESSED": 2, "REFUSED": 1}
    world.control.stop_all()
    assert retry(world, document.id) == Retried(document.id, pending=1, held=0)
    waiting = world.services.reporting.document(TENANT, document.id)
    again = world.run(document.id, "run-2")
    evidence = world.evidence(document.id)

    assert (waiting.status, waiting.attempt, waiting.timings.finished_at) == ("QUEUED", 2, None)
    assert (again.status, again.counts) == (BulkChangeStatus.PROCESSED, {"PROCESSED": 3})
    assert [len(evidence.puts(iccid)) for iccid in world.iccids] == [2, 1, 1]
    assert [(entry.kind, entry.outcome, entry.retry) for entry in evidence.entries(world.iccids[0])] == [
        ("CARRIER_CALL", "REFUSED", 0),
        ("DEVICE_ENDED", "REFUSED", 0),
        ("CARRIER_CALL", "APPLIED", 1),
        ("AMOP_UPDATE", "PROCESSED", 1),
    ]
    assert [entry.actor for entry in evidence.audit if entry.kind == "RETRY_REQUESTED"] == ["operator"]
    check_all(evidence)


def test_a_device_that_is_refused_again_has_both_ends_in_the_audit_log(world: World) -> None:
    refuse(world, *world.iccids)
    document, _ = world.submit_and_run()
    retry(world, document.id)
    again = world.run(document.id, "run-2")
    evidence = world.evidence(document.id)

    assert (document.status, again.status) == ("FAILED", "FAILED")
    for iccid in world.iccids:
        ends = [entry.retry for entry in evidence.entries(iccid) if entry.kind == "DEVICE_ENDED"]
        assert ends == [0, 1]
        assert evidence.row(iccid).attempts == 1
    check_all(evidence)


def test_what_stopped_the_whole_change_no_longer_stops_it(make_world: MakeWorld) -> None:
    world = make_world(Options(writes=False))
    bulk_change_id = world.submit().bulk_change_id
    with pytest.raises(Exception, match="Writes are disabled"):
        world.run(bulk_change_id)
    world.sql("UPDATE m2m.service_provider SET writes_enabled = true")
    retry(world, bulk_change_id)
    document = world.run(bulk_change_id, "run-2")

    assert (document.status, document.reason) == ("PROCESSED", None)
    check_all(world.evidence(bulk_change_id))


def test_a_row_whose_fault_is_its_own_is_not_tried_again(world: World) -> None:
    refuse(world, world.iccids[0])
    rows = [world.iccids[0], "12", "8.98E+18", world.iccids[0], world.iccids[1]]
    bulk_change_id = world.submit(rows, invalid_rows="skip").bulk_change_id
    world.run(bulk_change_id)
    world.control.stop_all()
    faults = [(row.status, row.reason, row.retry) for row in world.evidence(bulk_change_id).rows[1:4]]

    assert retry(world, bulk_change_id).pending == 1
    world.run(bulk_change_id, "run-2")
    evidence = world.evidence(bulk_change_id)
    assert [(row.status, row.reason, row.retry) for row in evidence.rows[1:4]] == faults
    assert evidence.row(world.iccids[0]).status == "PROCESSED"
    check_all(evidence)


def test_a_device_that_was_missing_in_the_inventory_is_tried_once_it_is_there(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=2))
    world.sql("DELETE FROM m2m.device WHERE iccid = %s", world.iccids[1])
    bulk_change_id = world.submit(invalid_rows="skip").bulk_change_id
    assert world.run(bulk_change_id).counts == {"PROCESSED": 1, "REFUSED": 1}
    world.import_devices(world.iccids[1:])
    retry(world, bulk_change_id)

    assert world.run(bulk_change_id, "run-2").counts == {"PROCESSED": 2}
    check_all(world.evidence(bulk_change_id))


def test_a_device_that_another_change_holds_meanwhile_stays_refused_and_says_so(world: World) -> None:
    refuse(world, *world.iccids)
    document, _ = world.submit_and_run()
    other = world.submit(world.iccids[:1]).bulk_change_id
    world.control.stop_all()
    assert retry(world, document.id) == Retried(document.id, pending=2, held=1)
    again = world.run(document.id, "run-2")
    evidence = world.evidence(document.id)
    row = evidence.row(world.iccids[0])

    assert again.counts == {"PROCESSED": 2, "REFUSED": 1}
    assert (row.status, row.reason) == ("REFUSED", "OPEN_CHANGE")
    assert f"bulk change {other}" in str(row.message)
    check_all(evidence)
    assert world.run(other, "run-3").status is BulkChangeStatus.PROCESSED


def test_where_others_hold_every_device_nothing_is_done(world: World) -> None:
    refuse(world, *world.iccids)
    document, _ = world.submit_and_run()
    world.submit()
    before = world.sql("SELECT * FROM m2m.device_change ORDER BY id")

    with pytest.raises(NotRetryableError, match="3 devices are held by other bulk changes"):
        retry(world, document.id)
    assert world.sql("SELECT * FROM m2m.device_change ORDER BY id") == before
    assert world.services.reporting.document(TENANT, document.id).status == "FAILED"


def test_devices_of_unknown_outcome_are_read_back_by_the_retry_and_not_blindly_sent(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=2, patience=0.5))
    bulk_change_id = world.submit(batch_size=2).bulk_change_id
    (batch,) = world.prepare(bulk_change_id)
    refuse(world, world.iccids[0])
    world.trouble(Rule(name="applied_then_reset", iccids=frozenset({world.iccids[1]})))
    world.trouble(Rule(name="html_502", methods=frozenset({"GET"}), iccids=frozenset({world.iccids[1]})))
    world.drive(batch)
    ended = world.services.execution.finalize(bulk_change_id, "run-1")
    assert ended.counts == {"REFUSED": 1, "UNCONFIRMED": 1}
    world.control.stop_all()
    retry(world, bulk_change_id)
    document = world.run(bulk_change_id, "run-2")
    evidence = world.evidence(bulk_change_id)

    assert document.counts == {"PROCESSED": 2}
    assert len(evidence.puts(world.iccids[1])) == 1
    check_all(evidence)


@pytest.mark.parametrize("step", ["NEW", "QUEUED", "PROCESSING", "PROCESSED"])
def test_only_a_change_that_ended_short_of_its_aim_can_be_retried(world: World, step: str) -> None:
    bulk_change_id = world.submit(process_changes=step != "NEW").bulk_change_id
    if step == "PROCESSING":
        world.prepare(bulk_change_id)
    if step == "PROCESSED":
        world.run(bulk_change_id)

    with pytest.raises(NotRetryableError, match=f"is {step}; only PARTIAL and FAILED ones"):
        retry(world, bulk_change_id)


def test_a_change_that_is_being_settled_is_not_taken_from_under_the_hands(world: World) -> None:
    refuse(world, world.iccids[0])
    document, _ = world.submit_and_run()
    world.sql("UPDATE m2m.bulk_change SET lease_owner = 'r', lease_expires_at = clock_timestamp() + interval '1 min'")

    with pytest.raises(NotRetryableError, match="being settled"):
        retry(world, document.id)


def test_another_tenant_has_no_such_change(world: World) -> None:
    refuse(world, world.iccids[0])
    document, _ = world.submit_and_run()

    with pytest.raises(BulkChangeUnknownError):
        world.services.retrying.retry("rival", document.id, "operator")


def test_a_retry_has_all_its_attempts_again(world: World) -> None:
    refuse(world, *world.iccids)
    document, _ = world.submit_and_run()
    world.sql("UPDATE m2m.bulk_change SET fruitless_attempts = 4, attempt = 9")
    retry(world, document.id)

    assert world.sql("SELECT attempt, fruitless_attempts FROM m2m.bulk_change") == [(10, 0)]


def test_of_two_retries_that_wait_for_each_others_devices_one_wins_and_the_other_hears_of_it(
    make_world: MakeWorld,
) -> None:
    world = make_world(Options(devices=2))
    refuse(world, *world.iccids)
    ended = [world.submit_and_run(rows)[0].id for rows in (world.iccids, world.iccids[::-1])]
    world.sql(_MEETING)

    def attempt(bulk_change_id: int) -> Retried | NotRetryableError:
        try:
            return retry(world, bulk_change_id)
        except NotRetryableError as error:
            return error

    with ThreadPoolExecutor(2) as both:
        won, lost = sorted(both.map(attempt, ended), key=lambda outcome: isinstance(outcome, NotRetryableError))

    assert isinstance(won, Retried)
    assert (won.pending, won.held) == (2, 0)
    assert "2 devices are held by other bulk changes" in str(lost)


# Each retry has its first device, which is the other's second, when both go on: neither would without the other.
_MEETING = """
CREATE SEQUENCE public.second_devices;
CREATE FUNCTION public.meet() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM m2m.device_change WHERE bulk_change_id = NEW.bulk_change_id AND status = 'PENDING') THEN
        PERFORM nextval('public.second_devices');
        WHILE (SELECT last_value < 2 FROM public.second_devices) LOOP
            PERFORM pg_sleep(0.01);
        END LOOP;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER meet BEFORE UPDATE ON m2m.device_change FOR EACH ROW
    WHEN (NEW.status = 'PENDING') EXECUTE FUNCTION public.meet();
"""
