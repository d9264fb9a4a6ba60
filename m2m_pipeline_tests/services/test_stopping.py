"""What holds for every device stops the bulk change: nothing more is sent, and every device says why."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline.services.accounts import ProviderSettings
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline.storage.gate import CALL_ENDS_SECONDS
from m2m_pipeline_tests.evidence import Evidence
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.local.waiting import wait_until
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import COMM_NEW, NEW, PROVIDER, TENANT, Options, World

pytestmark = pytest.mark.usefixtures("quick_reads")

BOTH = frozenset({"GET", "PUT"})


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world(Options(devices=40, in_flight=3))


def never_sent(evidence: Evidence) -> list[str]:
    sent = {call.iccid for call in evidence.puts()}
    return [row.iccid for row in evidence.rows if row.iccid not in sent]


def test_a_plan_that_is_retired_midway_stops_everything_after_the_calls_in_flight(world: World) -> None:
    world.trouble(Rule(name="rate_plan_retired", rate_plan=NEW, skip_calls=15))
    document, evidence = world.submit_and_run(batch_size=20)

    assert document.status is BulkChangeStatus.PARTIAL
    assert document.reason == "CARRIER_RATE_PLAN_REFUSED"
    refused = next(call for call in evidence.puts() if call.status == 400)
    assert len([call for call in evidence.puts() if call.start > refused.start]) < world.options.in_flight
    unsent = never_sent(evidence)
    assert len(unsent) > 20
    assert {(evidence.row(iccid).status, evidence.row(iccid).reason) for iccid in unsent} == {
        ("REFUSED", "CARRIER_RATE_PLAN_REFUSED")
    }
    assert {evidence.row(iccid).attempts for iccid in unsent} == {0}
    check_all(evidence)


def test_a_key_that_is_revoked_midway_stops_everything_and_guesses_nothing(world: World) -> None:
    world.trouble(Rule(name="key_revoked", methods=BOTH, skip_calls=12))
    document, evidence = world.submit_and_run(batch_size=20)

    assert document.status is BulkChangeStatus.PARTIAL
    assert document.reason == "CARRIER_SIGN_IN_REFUSED"
    applied = {call.iccid for call in evidence.puts() if call.status == 200}
    assert {evidence.row(iccid).status for iccid in applied if iccid} == {"UNCONFIRMED"}
    unsent = never_sent(evidence)
    assert {evidence.row(iccid).reason for iccid in unsent} == {"CARRIER_SIGN_IN_REFUSED"}
    assert len(evidence.puts()) <= 11 + world.options.in_flight
    check_all(evidence)


def test_a_role_that_is_taken_away_midway_stops_everything_and_is_told_once(world: World) -> None:
    world.trouble(Rule(name="role_denied", skip_calls=12))
    document, evidence = world.submit_and_run(batch_size=20)

    assert document.status is BulkChangeStatus.PARTIAL
    assert document.reason == "CARRIER_ROLE_REFUSED"
    assert len([call for call in evidence.puts() if call.error_code == "10000030"]) <= world.options.in_flight
    unsent = never_sent(evidence)
    assert len(unsent) > 20
    assert {(evidence.row(iccid).reason, evidence.row(iccid).attempts) for iccid in unsent} == {
        ("CARRIER_ROLE_REFUSED", 0)
    }
    assert len([entry for entry in evidence.audit if entry.kind == "CARRIER_SIGN_IN_FAILED"]) == 1
    check_all(evidence)


def test_writes_that_the_operator_disables_midway_stop_everything_after_the_calls_in_flight(world: World) -> None:
    world.control.set_latency(40, 60)
    bulk_change_id = world.submit(batch_size=20).bulk_change_id
    with ThreadPoolExecutor(1) as other:
        running = other.submit(world.run, bulk_change_id)
        wait_until(lambda: world.puts() >= 6, "some devices were sent")
        world.services.accounts.configure(TENANT, PROVIDER, ProviderSettings(writes_enabled=False), actor="test")
        under_way = world.puts()
        document = running.result()
    evidence = world.evidence(bulk_change_id)

    assert document.status is BulkChangeStatus.PARTIAL
    assert document.reason == "WRITES_DISABLED"
    assert PROVIDER in str(document.message)
    assert document.timings.processing_seconds is not None
    assert document.timings.processing_seconds < CALL_ENDS_SECONDS / 2  # permits of no use went back at once
    assert len(evidence.puts()) <= under_way + world.options.in_flight
    assert set(evidence.statuses().values()) == {"PROCESSED", "REFUSED"}
    assert {(evidence.row(iccid).reason, evidence.row(iccid).attempts) for iccid in never_sent(evidence)} == {
        ("WRITES_DISABLED", 0)
    }
    check_all(evidence)


def test_a_plan_that_the_carrier_does_not_know_costs_no_more_calls_than_are_in_flight(world: World) -> None:
    world.trouble(Rule(name="rate_plan_retired", rate_plan=NEW))
    document, evidence = world.submit_and_run(batch_size=40)

    assert document.status is BulkChangeStatus.FAILED
    assert document.counts == {"REFUSED": 40}
    assert len(evidence.puts()) <= world.options.in_flight
    check_all(evidence)


def test_a_communication_plan_that_the_carrier_refuses_stops_everything(world: World) -> None:
    world.services.accounts.import_plans(world.provider, [], ["Comm Unknown"])
    document, evidence = world.submit_and_run(batch_size=40, communication_plan="Comm Unknown")

    assert document.reason == "CARRIER_COMMUNICATION_PLAN_REFUSED"
    assert document.counts == {"REFUSED": 40}
    assert len(evidence.puts()) <= world.options.in_flight
    assert COMM_NEW not in {view.communication_plan for view in evidence.carrier.values()}
    check_all(evidence)


def test_a_refusal_of_one_device_stops_nobody(world: World) -> None:
    world.trouble(Rule(name="device_refused", iccids=frozenset(world.iccids[:10])))
    document, evidence = world.submit_and_run(batch_size=20)

    assert document.status is BulkChangeStatus.PARTIAL
    assert document.counts == {"PROCESSED": 30, "REFUSED": 10}
    assert document.reason is None
    check_all(evidence)


def test_later_batches_of_a_stopped_bulk_change_make_no_call(world: World) -> None:
    bulk_change_id = world.submit(batch_size=10).bulk_change_id
    batches = world.prepare(bulk_change_id)
    world.trouble(Rule(name="rate_plan_retired", rate_plan=NEW))
    world.drive(batches[0])
    calls = len(world.control.calls())
    for batch in batches[1:]:
        world.drive(batch)

    assert len(world.control.calls()) == calls


def test_the_carriers_words_and_code_are_kept_with_the_device(world: World) -> None:
    world.trouble(Rule(name="device_refused", iccids=frozenset({world.iccids[0]})))
    _, evidence = world.submit_and_run(batch_size=40)

    row = evidence.row(world.iccids[0])
    assert row.carrier_code == "10000029"
    assert row.message
    assert [(entry.kind, entry.outcome) for entry in evidence.entries(row.iccid)] == [
        ("CARRIER_CALL", "REFUSED"),
        ("DEVICE_ENDED", "REFUSED"),
    ]


def test_devices_that_the_carrier_refused_with_different_codes_are_told_apart(world: World) -> None:
    world.trouble(Rule(name="device_refused", iccids=frozenset(world.iccids[:2])))
    world.trouble(Rule(name="device_refused", iccids=frozenset(world.iccids[2:3]), error_code="10000025"))
    document, _ = world.submit_and_run(batch_size=40)

    most, one = document.failures
    assert (most.carrier_code, most.count, most.examples) == ("10000029", 2, world.iccids[:2])
    assert (one.carrier_code, one.count, one.examples) == ("10000025", 1, world.iccids[2:3])
    assert one.carrier_answer == f"10000025: {one.message}"
    assert one.message
