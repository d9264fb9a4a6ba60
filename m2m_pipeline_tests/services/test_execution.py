"""An attempt from its claim to its end, against a carrier that behaves."""

from datetime import UTC, datetime, timedelta

import pytest

from m2m_pipeline.domain.accounts import VerifyMode
from m2m_pipeline.domain.attempt import NotClaimableError, OpenDevicesError
from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import COMM_NEW, COMM_OLD, NEW, OLD, OWNER, Options, World


def test_every_device_ends_on_the_new_plan_at_the_carrier_and_in_amop(world: World) -> None:
    document, evidence = world.submit_and_run()

    assert document.status is BulkChangeStatus.PROCESSED
    assert document.counts == {"PROCESSED": 3}
    assert {view.rate_plan for view in evidence.carrier.values()} == {NEW}
    assert set(evidence.amop.values()) == {(NEW, COMM_OLD)}
    check_all(evidence)


def test_a_communication_plan_moves_along(world: World) -> None:
    document, evidence = world.submit_and_run(communication_plan=COMM_NEW)

    assert document.status is BulkChangeStatus.PROCESSED
    assert {view.communication_plan for view in evidence.carrier.values()} == {COMM_NEW}
    assert set(evidence.amop.values()) == {(NEW, COMM_NEW)}
    check_all(evidence)


def test_only_the_communication_plan_may_differ(world: World) -> None:
    document, evidence = world.submit_and_run(rate_plan=OLD, communication_plan=COMM_NEW)

    assert document.counts == {"PROCESSED": 3}
    check_all(evidence)


def test_a_changed_device_has_the_carriers_answer_and_amops_update_in_the_audit_log(world: World) -> None:
    _, evidence = world.submit_and_run()

    for iccid in world.iccids:
        entries = evidence.entries(iccid)
        assert [(entry.kind, entry.outcome) for entry in entries] == [
            ("CARRIER_CALL", "APPLIED"),
            ("AMOP_UPDATE", "PROCESSED"),
        ]
        assert {(entry.old_rate_plan, entry.new_rate_plan) for entry in entries} == {(OLD, NEW)}
        assert {entry.actor for entry in entries} == {f"run {OWNER}"}


def test_the_audit_log_tells_the_whole_story_in_order(world: World) -> None:
    _, evidence = world.submit_and_run()

    about_the_whole = [entry.kind for entry in evidence.audit if entry.device_change_id is None]
    assert about_the_whole == ["REQUEST_RECORDED", "ATTEMPT_STARTED", "BULK_CHANGE_ENDED"]


def test_a_device_on_the_plan_already_is_skipped_without_any_call(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=6))
    there = world.iccids[:4]
    world.import_devices(there, NEW)
    document, evidence = world.submit_and_run()

    assert document.status is BulkChangeStatus.PROCESSED
    assert {evidence.row(iccid).reason for iccid in there} == {"ALREADY_ON_PLAN"}
    assert not [call for call in evidence.calls if call.iccid in there]
    assert {call.iccid for call in evidence.puts()} == set(world.iccids[4:])


def test_a_change_of_nothing_ends_as_processed_without_a_put(world: World) -> None:
    world.import_devices(world.iccids, NEW)
    document, evidence = world.submit_and_run()

    assert (document.status, document.counts) == (BulkChangeStatus.PROCESSED, {"SKIPPED": 3})
    assert not evidence.puts()


def test_a_device_that_left_the_inventory_is_refused_and_not_sent(world: World) -> None:
    bulk_change_id = world.submit().bulk_change_id
    gone = world.iccids[1]
    world.sql("UPDATE m2m.device_change SET device_id = NULL WHERE iccid = %s", gone)
    world.sql("DELETE FROM m2m.device WHERE iccid = %s", gone)
    document = world.run(bulk_change_id)
    evidence = world.evidence(bulk_change_id)

    assert document.status is BulkChangeStatus.PARTIAL
    assert (evidence.row(gone).status, evidence.row(gone).reason) == ("REFUSED", "NOT_IN_INVENTORY")
    assert not [call for call in evidence.calls if call.iccid == gone]
    check_all(evidence)


def test_a_stored_row_that_is_no_device_fails_alone(world: World) -> None:
    bulk_change_id = world.submit().bulk_change_id
    world.sql("UPDATE m2m.device_change SET iccid = '12' WHERE row_number = 2")
    document = world.run(bulk_change_id)

    assert document.counts == {"PROCESSED": 2, "REFUSED": 1}
    assert [failure.reason for failure in document.failures] == ["DEVICE_ROW_INVALID"]
    assert world.puts() == 2


@pytest.mark.parametrize(("verify", "most_calls"), [("pages", 1.05), ("each", 2.0), ("none", 1.0)])
def test_the_verify_mode_decides_what_a_device_costs(make_world: MakeWorld, verify: str, most_calls: float) -> None:
    devices = 1000 if verify == "pages" else 100
    world = make_world(Options(devices=devices, in_flight=50, calls_per_second=5000, verify=VerifyMode(verify)))
    document, evidence = world.submit_and_run(batch_size=devices)

    assert document.counts == {"PROCESSED": devices}
    assert len(evidence.puts()) == devices
    on_devices = [call for call in evidence.calls if "/echo/" not in call.path]
    assert len(on_devices) <= most_calls * devices
    check_all(evidence)


def test_confirming_by_pages_stays_cheap_however_many_batches_went_before(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=600, in_flight=50, calls_per_second=5000))
    document, evidence = world.submit_and_run(batch_size=50)

    assert document.counts == {"PROCESSED": 600}
    assert len(evidence.calls) <= 1.25 * 600


def test_batches_are_cut_in_row_order_and_named_by_their_device_where_they_hold_one(world: World) -> None:
    batches = world.prepare(world.submit().bulk_change_id)
    assert [(batch.key, batch.devices) for batch in batches] == [(iccid, 1) for iccid in world.iccids]


def test_the_batch_size_is_the_requests(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=5))
    batches = world.prepare(world.submit(batch_size=2).bulk_change_id)
    assert [(batch.key, batch.devices) for batch in batches] == [
        ("batch_0001", 2),
        ("batch_0002", 2),
        ("batch_0003", 1),
    ]


def test_a_batch_is_in_amop_before_the_next_one_calls(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=4))
    bulk_change_id = world.submit(batch_size=2).bulk_change_id
    first, _ = world.prepare(bulk_change_id)
    world.drive(first)

    evidence = world.evidence(bulk_change_id)
    assert list(evidence.statuses().values()) == ["PROCESSED", "PROCESSED", "PENDING", "PENDING"]
    assert [evidence.amop[iccid][0] for iccid in world.iccids] == [NEW, NEW, OLD, OLD]
    assert len(evidence.puts()) == 2


def test_every_step_may_be_said_twice(world: World) -> None:
    bulk_change_id = world.submit(batch_size=3).bulk_change_id
    execution = world.services.execution
    for step in (execution.validate_request, execution.build_change_details, execution.authenticate_carrier):
        step(bulk_change_id, OWNER)
        step(bulk_change_id, OWNER)
    assert execution.plan_batches(bulk_change_id, OWNER) == execution.plan_batches(bulk_change_id, OWNER)
    (batch,) = execution.plan_batches(bulk_change_id, OWNER)
    for batch_step in (execution.change_devices, execution.update_amop, execution.write_audit):
        batch_step(batch, OWNER)
        batch_step(batch, OWNER)
    document = execution.finalize(bulk_change_id, OWNER)
    evidence = world.evidence(bulk_change_id)

    assert document.status is BulkChangeStatus.PROCESSED
    assert len(evidence.puts()) == 3
    assert all(len(evidence.entries(iccid)) == 2 for iccid in world.iccids)
    check_all(evidence)


def test_a_bulk_change_does_not_end_while_a_device_is_open(world: World) -> None:
    bulk_change_id = world.submit().bulk_change_id
    first, *_ = world.prepare(bulk_change_id)
    world.drive(first)

    with pytest.raises(OpenDevicesError):
        world.services.execution.finalize(bulk_change_id, OWNER)
    assert world.evidence(bulk_change_id).bulk.status == BulkChangeStatus.PROCESSING


def test_an_ended_bulk_change_is_not_worked_on_again(world: World) -> None:
    bulk_change_id = world.submit().bulk_change_id
    world.run(bulk_change_id)
    calls = len(world.control.calls())

    with pytest.raises(NotClaimableError, match="has ended as PROCESSED"):
        world.services.execution.validate_request(bulk_change_id, "run-2")
    assert len(world.control.calls()) == calls


def test_a_bulk_change_that_nobody_said_to_process_is_not_claimable(world: World) -> None:
    bulk_change_id = world.submit(process_changes=False).bulk_change_id
    with pytest.raises(NotClaimableError, match="is NEW"):
        world.services.execution.validate_request(bulk_change_id, OWNER)


def test_a_change_for_a_later_day_is_scheduled_and_never_called_processed(world: World) -> None:
    day = datetime.now(UTC).date() + timedelta(days=3)
    document, evidence = world.submit_and_run(effective_date=str(day))

    assert document.status is BulkChangeStatus.PARTIAL
    assert set(evidence.statuses().values()) == {"UNCONFIRMED"}
    assert {row.reason for row in evidence.rows} == {"SCHEDULED"}
    assert not evidence.changes
    assert set(evidence.amop.values()) == {(OLD, COMM_OLD)}
    assert len(evidence.puts()) == 3
    check_all(evidence)


def test_a_change_for_today_is_sent_without_a_date(world: World) -> None:
    today = datetime.now(UTC).date()
    document, evidence = world.submit_and_run(effective_date=str(today))

    assert document.status is BulkChangeStatus.PROCESSED
    assert len(evidence.changes) == 3
    check_all(evidence)


def test_another_tenants_devices_of_the_same_iccids_stay_untouched(world: World) -> None:
    other = world.services.accounts.configure("rival", "att", world.provider_settings(), actor="test")
    world.services.accounts.import_plans(other, [OLD, NEW], [COMM_OLD])
    world.services.accounts.import_devices(other, [DeviceReading(iccid, OLD, COMM_OLD) for iccid in world.iccids])
    before = world.sql("SELECT * FROM m2m.device WHERE tenant_id = %s ORDER BY id", other.tenant_id)
    _, evidence = world.submit_and_run()

    check_all(evidence)
    assert world.sql("SELECT * FROM m2m.device WHERE tenant_id = %s ORDER BY id", other.tenant_id) == before


@pytest.mark.parametrize("rate", [30.0, 50.0])
def test_the_accounts_limits_hold(make_world: MakeWorld, rate: float) -> None:
    world = make_world(Options(devices=50, calls_per_second=rate, in_flight=3))
    world.control.set_latency(20, 90)
    document, evidence = world.submit_and_run(batch_size=50)

    assert document.counts == {"PROCESSED": 50}
    assert evidence.summary.max_in_flight[str(evidence.bulk.username)] > 1
    check_all(evidence)
