"""The door: everything that is wrong is said at once, or the request is recorded and queued as a whole."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from m2m_pipeline.domain.attempt import NotClaimableError
from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline.services.submission import NotProcessableError
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import NEW, OWNER, PROVIDER, TENANT, Options, World

UNKNOWN_ICCID = "8988216716979999999"


FAULTS: Mapping[str, tuple[dict[str, object], str]] = {
    "an unknown provider": ({"provider": "verizon"}, "PROVIDER_UNKNOWN"),
    "no provider": ({"provider": None}, "PROVIDER_UNKNOWN"),
    "another type of change": ({"change_type": 3}, "CHANGE_TYPE_UNSUPPORTED"),
    "no rate plan": ({"rate_plan": " "}, "RATE_PLAN_MISSING"),
    "an unknown rate plan": ({"rate_plan": "Plan Nobody"}, "RATE_PLAN_UNKNOWN"),
    "a rate plan in other letters": ({"rate_plan": NEW.upper()}, "RATE_PLAN_UNKNOWN"),
    "an unknown communication plan": ({"communication_plan": "Comm Nobody"}, "COMMUNICATION_PLAN_UNKNOWN"),
    "no date": ({"effective_date": "tomorrow"}, "EFFECTIVE_DATE_MALFORMED"),
    "a date that is past": ({"effective_date": "2020-01-31"}, "EFFECTIVE_DATE_PAST"),
    "a date too far ahead": ({"effective_date": "2999-01-31"}, "EFFECTIVE_DATE_TOO_FAR"),
    "no devices": ({"devices": []}, "NO_DEVICES"),
    "a malformed ICCID": ({"devices": ["12"]}, "ICCID_MALFORMED"),
    "a damaged ICCID": ({"devices": ["8.98822E+18"]}, "ICCID_SPREADSHEET_DAMAGE"),
    "a device that is not ours": ({"devices": [UNKNOWN_ICCID]}, "NOT_IN_INVENTORY"),
    "a device twice": ({"devices": ["8988216716970000000"] * 2}, "DUPLICATE"),
}


def test_each_fault_is_named_and_nothing_is_recorded(world: World) -> None:
    told = {fault: world.codes(**fields) for fault, (fields, _) in FAULTS.items()}

    assert told == {fault: [code] for fault, (_, code) in FAULTS.items()}
    assert (world.count("bulk_change"), world.count("device_change")) == (0, 0)


def test_everything_that_is_wrong_is_said_at_once_with_its_rows(world: World) -> None:
    good = world.iccids[0]
    told = world.problems(
        change_type=3,
        rate_plan="Plan Nobody",
        communication_plan="Comm Nobody",
        effective_date="soon",
        devices=[good, "", good, "8.98822E+18", UNKNOWN_ICCID],
    )

    assert [(problem.code.value, problem.row) for problem in told] == [
        ("CHANGE_TYPE_UNSUPPORTED", None),
        ("EFFECTIVE_DATE_MALFORMED", None),
        ("RATE_PLAN_UNKNOWN", None),
        ("COMMUNICATION_PLAN_UNKNOWN", None),
        ("ICCID_MALFORMED", 2),
        ("DUPLICATE", 3),
        ("ICCID_SPREADSHEET_DAMAGE", 4),
        ("NOT_IN_INVENTORY", 5),
    ]
    assert all(problem.message and problem.next_step for problem in told)


def test_without_a_provider_the_rows_are_examined_as_far_as_they_can_be(world: World) -> None:
    good = world.iccids[0]
    assert world.codes(provider="nobody", devices=[good, good, "x"]) == [
        "PROVIDER_UNKNOWN",
        "DUPLICATE",
        "ICCID_MALFORMED",
    ]


def test_an_unsupported_integration_is_refused_at_the_door(world: World) -> None:
    world.sql("UPDATE m2m.service_provider SET integration_type = 'Telegence'")
    assert world.codes() == ["PROVIDER_UNSUPPORTED"]


def test_a_name_and_an_id_of_two_providers_are_no_provider(world: World) -> None:
    other = world.services.accounts.configure(TENANT, "rogers", world.provider_settings(), actor="test")
    assert "PROVIDER_UNKNOWN" in world.codes(service_provider_id=other.id)


def test_a_retired_plan_is_unknown(world: World) -> None:
    world.sql("UPDATE m2m.carrier_rate_plan SET retired_at = clock_timestamp() WHERE name = %s", NEW)
    assert world.codes() == ["RATE_PLAN_UNKNOWN"]


def test_a_plan_of_another_provider_is_unknown(world: World) -> None:
    other = world.services.accounts.configure(TENANT, "rogers", world.provider_settings(), actor="test")
    world.services.accounts.import_plans(other, ["Plan Rogers"], [])
    assert world.codes(rate_plan="Plan Rogers") == ["RATE_PLAN_UNKNOWN"]


def test_a_request_over_the_tenants_limit_is_refused(world: World) -> None:
    world.sql("UPDATE m2m.tenant SET max_devices = 2")
    assert world.codes() == ["TOO_MANY_DEVICES"]


def test_a_request_over_the_tenants_limits_is_told_whatever_else_is_wrong_but_of_its_rows(world: World) -> None:
    world.sql("UPDATE m2m.tenant SET max_devices = 2, max_open_changes = 0")
    limits = ["TOO_MANY_DEVICES", "TOO_MANY_OPEN_CHANGES"]
    wrong = {"effective_date": "2020-01-31", "devices": ["12"] * 3}
    assert world.codes(**wrong, rate_plan="Plan Nobody") == [*limits, "RATE_PLAN_UNKNOWN", "EFFECTIVE_DATE_PAST"]
    assert world.codes(**wrong, provider="nobody") == ["PROVIDER_UNKNOWN", *limits]


def test_a_device_with_an_open_change_is_refused_and_the_holder_named(world: World) -> None:
    holder = world.submit(world.iccids[:1]).bulk_change_id
    (problem,) = world.problems()

    assert (problem.code, problem.row) == ("OPEN_CHANGE", 1)
    assert f"bulk change {holder}," in problem.message


def test_a_device_is_free_again_once_its_change_has_ended(world: World) -> None:
    world.submit_and_run()
    assert world.submit(rate_plan="Plan Third").status is BulkChangeStatus.QUEUED


def test_an_accepted_request_is_recorded_queued_and_audited(world: World) -> None:
    recorded = world.submit(priority=7, batch_size=2)

    assert (recorded.status, recorded.replayed) == (BulkChangeStatus.QUEUED, False)
    evidence = world.evidence(recorded.bulk_change_id)
    assert list(evidence.statuses()) == list(world.iccids)
    assert [(entry.kind, entry.actor) for entry in evidence.audit] == [("REQUEST_RECORDED", "tester")]
    (queued,) = world.services.queue.head()
    assert (queued.id, queued.attempt, queued.priority, queued.provider) == (recorded.bulk_change_id, 1, 7, PROVIDER)


def test_the_queue_is_in_order_of_priority_then_of_arrival(world: World) -> None:
    first, second, third = (
        world.submit([iccid], priority=priority).bulk_change_id
        for iccid, priority in zip(world.iccids, (0, 0, 5), strict=True)
    )
    assert [queued.id for queued in world.services.queue.head()] == [third, first, second]


def test_faulty_rows_may_be_skipped_and_end_with_their_reason_and_entry(world: World) -> None:
    good = world.iccids[0]
    lines = [good, good, "12", "8.98822E+18", UNKNOWN_ICCID]
    document, evidence = world.submit_and_run(lines, invalid_rows="skip")

    assert document.status is BulkChangeStatus.PARTIAL
    assert [(row.status, row.reason) for row in evidence.rows] == [
        ("PROCESSED", None),
        ("SKIPPED", "DUPLICATE"),
        ("REFUSED", "ICCID_MALFORMED"),
        ("REFUSED", "ICCID_SPREADSHEET_DAMAGE"),
        ("REFUSED", "NOT_IN_INVENTORY"),
    ]
    ended_at_the_door = [entry for entry in evidence.audit if entry.kind == "DEVICE_ENDED"]
    assert len(ended_at_the_door) == 4
    assert {entry.actor for entry in ended_at_the_door} == {"tester"}
    assert len(evidence.puts()) == 1
    check_all(evidence)


def test_a_request_whose_rows_are_all_faulty_ends_as_failed_without_a_put(world: World) -> None:
    document, evidence = world.submit_and_run(["12", UNKNOWN_ICCID], invalid_rows="skip")

    assert document.status is BulkChangeStatus.FAILED
    assert not evidence.puts()


def test_faults_of_the_request_are_never_skipped(world: World) -> None:
    assert world.codes(rate_plan="Plan Nobody", devices=["12"], invalid_rows="skip") == [
        "RATE_PLAN_UNKNOWN",
        "ICCID_MALFORMED",
    ]


def test_a_request_that_is_only_to_be_recorded_waits_for_process(world: World) -> None:
    recorded = world.submit(process_changes=False)
    assert recorded.status is BulkChangeStatus.NEW
    assert not world.services.queue.head()

    processed = world.services.submission.process(TENANT, recorded.bulk_change_id, "starter")
    assert processed.status is BulkChangeStatus.QUEUED
    assert [queued.id for queued in world.services.queue.head()] == [recorded.bulk_change_id]
    with pytest.raises(NotProcessableError, match="is QUEUED"):
        world.services.submission.process(TENANT, recorded.bulk_change_id, "starter")
    assert world.run(recorded.bulk_change_id).status is BulkChangeStatus.PROCESSED


def test_a_blank_communication_plan_is_none(world: World) -> None:
    document, evidence = world.submit_and_run(communication_plan="  ")

    assert document.communication_plan is None
    assert document.status is BulkChangeStatus.PROCESSED
    check_all(evidence)


def test_a_hundred_thousand_rows_are_recorded_in_one_commit(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=1))
    many = [f"8988303{number:012}" for number in range(100_000)]
    world.import_devices(many)
    recorded = world.submit(many)

    assert world.count("device_change") == 100_000
    assert world.services.reporting.document(TENANT, recorded.bulk_change_id).total == 100_000


def test_the_effective_date_is_recorded_as_a_day(world: World) -> None:
    day = datetime.now(UTC).date() + timedelta(days=10)
    recorded = world.submit(effective_date=f"{day}T00:00:00Z")
    assert world.services.reporting.document(TENANT, recorded.bulk_change_id).effective_date == day


def test_the_answer_to_an_unknown_run_names_the_bulk_change(world: World) -> None:
    with pytest.raises(NotClaimableError, match="no bulk change 4711"):
        world.services.execution.validate_request(4711, OWNER)
