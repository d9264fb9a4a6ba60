"""The six ends of the flow, each through Dagster's daemon, sensor and run, PostgreSQL, and the carrier's socket."""

import dagster as dg
import pytest

from m2m_pipeline_tests.acceptance.accounts import NEW, OLD
from m2m_pipeline_tests.acceptance.play import Play
from m2m_pipeline_tests.acceptance.site import Ended, Site
from m2m_pipeline_tests.invariants import check_all

pytestmark = [pytest.mark.xdist_group("acceptance"), pytest.mark.timeout(600)]

DENIED = ("wrong_key", "blocked_address", "writes_disabled", "no_credential")


@pytest.fixture(params=DENIED)
def denied(play: Play, request: pytest.FixtureRequest) -> Ended:
    """A bulk change whose account did not let us in, for each reason that there is."""
    name: str = request.param
    return play.ends[name]


# END1: the request no longer holds when the job looks at it again.


def test_end1_a_request_that_no_longer_holds_ends_as_rejected_and_no_call_is_made(play: Play) -> None:
    end = play.ends["retired"]

    assert (end.document.status, end.document.reason) == ("REJECTED", "RATE_PLAN_UNKNOWN")
    assert end.evidence.calls == []
    assert end.run.status is dg.DagsterRunStatus.FAILURE
    assert end.materialization["status"] == "REJECTED"
    assert end.document.counts == {"REFUSED": 3}
    assert {end.amop_plan(iccid) for iccid in end.evidence.statuses()} == {OLD}


# END2: the carrier is out of reach.


def test_end2_a_carrier_that_stays_away_fails_the_change_and_nothing_is_guessed(play: Play) -> None:
    end = play.ends["away"]

    assert (end.document.status, end.document.reason) == ("FAILED", "CARRIER_UNREACHABLE")
    assert end.document.counts == {"REFUSED": 3}
    assert end.evidence.calls == []
    assert {end.amop_plan(iccid) for iccid in end.evidence.statuses()} == {OLD}
    assert end.run.status is dg.DagsterRunStatus.FAILURE


def test_end2_a_carrier_that_is_back_in_time_costs_nothing_but_time(play: Play) -> None:
    end = play.ends["back"]

    assert end.document.counts == {"PROCESSED": 3}
    assert end.run.status is dg.DagsterRunStatus.SUCCESS


# END3: our own database. (That a request cannot be recorded is shown in test_at_the_door.)


def test_end3_a_row_that_amop_refuses_takes_no_other_along_and_is_told_apart_from_a_refusal(play: Play) -> None:
    end = play.ends["amop"]
    bad = end.account.iccids[1]

    assert end.document.status == "PARTIAL"
    assert end.document.counts == {"PROCESSED": 3, "AMOP_FAILED": 1}
    assert end.status(bad) == "AMOP_FAILED"
    assert (end.carrier_plan(bad), end.amop_plan(bad)) == (NEW, OLD)
    check_all(end.evidence)


# END4: the account does not let us in.


def test_end4_a_denied_account_fails_the_change_and_no_device_is_touched(denied: Ended) -> None:
    assert denied.document.status == "FAILED"
    assert denied.document.counts == {"REFUSED": 3}
    assert denied.evidence.puts() == []
    assert {row.attempts for row in denied.evidence.rows} == {0}
    assert {denied.amop_plan(row.iccid) for row in denied.evidence.rows} == {OLD}
    check_all(denied.evidence)


def test_end4_a_denied_account_leaves_one_entry_in_the_security_log(denied: Ended) -> None:
    entries = [entry for entry in denied.evidence.audit if entry.kind == "CARRIER_SIGN_IN_FAILED"]

    assert [(entry.outcome, entry.reason) for entry in entries] == [("DENIED", denied.document.reason)]


def test_end4_a_denied_account_fails_one_run_which_nothing_retries(denied: Ended, site: Site) -> None:
    """The sensor has ticked since."""
    kinds = {entry.dagster_event_type for entry in site.events(denied.run.run_id)}

    assert len(site.runs(denied.document.id)) == 1
    assert denied.run.status is dg.DagsterRunStatus.FAILURE
    assert dg.DagsterEventType.STEP_UP_FOR_RETRY not in kinds
    assert site.steps(denied.run.run_id)[-1] == "authenticate_carrier"
    assert denied.materialization["status"] == "FAILED"


def test_end4_every_reason_is_told_as_what_it_is(play: Play) -> None:
    reasons = {name: play.ends[name].document.reason for name in DENIED}

    assert reasons == {
        "wrong_key": "CARRIER_SIGN_IN_REFUSED",
        "blocked_address": "CARRIER_SIGN_IN_REFUSED",
        "writes_disabled": "WRITES_DISABLED",
        "no_credential": "CREDENTIAL_MISSING",
    }


# END5: success.


def test_end5_success_is_the_same_at_the_carrier_in_amop_and_in_dagster(play: Play) -> None:
    end = play.ends["success"]

    assert play.said["success"].status == 0
    assert end.document.counts == {"PROCESSED": 3}
    assert {end.carrier_plan(iccid) for iccid in end.evidence.statuses()} == {NEW}
    assert {end.amop_plan(iccid) for iccid in end.evidence.statuses()} == {NEW}
    assert end.run.status is dg.DagsterRunStatus.SUCCESS
    check_all(end.evidence)


def test_end5_a_changed_device_has_exactly_two_audit_entries_from_plan_to_plan(play: Play) -> None:
    end = play.ends["success"]

    for iccid in end.evidence.statuses():
        entries = [(entry.kind, entry.old_rate_plan, entry.new_rate_plan) for entry in end.evidence.entries(iccid)]
        assert entries == [("CARRIER_CALL", OLD, NEW), ("AMOP_UPDATE", OLD, NEW)]


def test_end5_the_catalog_shows_the_counts_in_the_partition_of_the_bulk_change(play: Play, site: Site) -> None:
    end = play.ends["success"]

    assert str(end.document.id) in site.instance.get_dynamic_partitions("bulk_change")
    assert end.materialization["status"] == "PROCESSED"
    assert (end.materialization["devices"], end.materialization["devices processed"]) == (3, 3)
    assert end.materialization["carrier calls"] == len(end.evidence.calls)


# END6: partial success.


def test_end6_each_device_ends_as_the_carriers_ledger_shows(play: Play) -> None:
    end = play.ends["partial"]

    assert [row.status for row in end.evidence.rows] == [
        "PROCESSED",
        "REFUSED",
        "REFUSED",
        "PROCESSED",  # the answer was lost, and the device read back
        "REFUSED",  # a 200 is a claim, and this one was false
        "UNCONFIRMED",  # changed, but the carrier would not say so
        "PROCESSED",
    ]
    assert [end.carrier_plan(row.iccid) for row in end.evidence.rows] == [NEW, OLD, OLD, NEW, OLD, NEW, NEW]
    check_all(end.evidence)


def test_end6_a_partial_success_says_so_everywhere(play: Play) -> None:
    end, said = play.ends["partial"], play.said["partial"]

    assert said.status == 1
    assert said.document["status"] == end.document.status == end.materialization["status"] == "PARTIAL"
    assert said.document["counts"] == {"PROCESSED": 3, "REFUSED": 3, "UNCONFIRMED": 1}
    assert (end.materialization["devices processed"], end.materialization["devices refused"]) == (3, 3)
    assert end.run.status is dg.DagsterRunStatus.SUCCESS


def test_end6_ending_a_change_leaves_its_devices_as_they_ended(play: Play) -> None:
    """Bug 1 of the old system: the end of the bulk change was written over its devices."""
    end = play.ends["partial"]
    reasons = {row.reason for row in end.evidence.rows}

    assert reasons == {
        None,
        "CARRIER_REFUSED",
        "CARRIER_DEVICE_UNKNOWN",
        "ACCEPTED_NOT_APPLIED",
        "OUTCOME_UNKNOWN",
    }
    assert len({row.ended_at for row in end.evidence.rows}) > 1
