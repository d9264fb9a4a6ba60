"""Promises: each is broken once, and its check fails, says where, and what to do."""

import re
from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import pytest

from m2m_pipeline.domain.alerts import AlertName
from m2m_pipeline.domain.notices import DestinationKind
from m2m_pipeline.orchestration.checks import ASSETS
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline.orchestration.tables import MOST_TABLE_ROWS, table
from m2m_pipeline.services.checks import PROMISES, Check, Verdict
from m2m_pipeline.simulator.documents import Drift
from m2m_pipeline.storage.breaches import MOST, Breach
from m2m_pipeline_tests.orchestration.location import KEY, build, run_change, run_job
from m2m_pipeline_tests.world import OLD, TENANT, THIRD, World

DOCUMENT = Path(__file__).parents[2] / "docs" / "reconciliation.md"

BREAKS: Mapping[Check, str] = {
    Check.COUNTS_BALANCE: "UPDATE m2m.bulk_change SET result = jsonb_set(result, '{counts}', '{\"PROCESSED\": 2}')",
    Check.NO_DEVICE_OPEN: "UPDATE m2m.device_change SET status = 'PENDING' WHERE row_number = 2",
    Check.NO_DEVICE_REFUSED: "UPDATE m2m.device_change SET status = 'REFUSED', reason = 'CARRIER_REFUSED'",
    Check.AUDIT_COMPLETE: "ALTER TABLE m2m.audit_entry DISABLE TRIGGER USER; DELETE FROM m2m.audit_entry "
    "WHERE kind = 'AMOP_UPDATE' AND id %% 2 = 0",
    Check.CHAIN_VERIFIES: "ALTER TABLE m2m.audit_entry DISABLE TRIGGER USER; "
    "UPDATE m2m.audit_entry SET message = 'nothing' WHERE kind = 'AMOP_UPDATE'",
    Check.AMOP_EQUALS_CARRIER: "",
    Check.RECONCILIATION_FRESH: "UPDATE m2m.service_provider SET created_at = now() - interval '49 hours'",
    Check.NOTHING_UNKNOWN: "UPDATE m2m.device_change SET status = 'UNCONFIRMED'; "
    "UPDATE m2m.bulk_change SET finished_at = now() - interval '1 day'",
    Check.DRIFT_IN_BOUNDS: "",
    Check.BUDGET_KEPT: "UPDATE m2m.bulk_change SET carrier_calls = 1000000",
    Check.QUEUE_MOVES: "UPDATE m2m.bulk_change SET status = 'QUEUED', attempt_queued_at = now() - interval '1 hour'",
}


MORE_BREAKS = {
    "what the carrier said": "ALTER TABLE m2m.audit_entry DISABLE TRIGGER USER; DELETE FROM m2m.audit_entry "
    "WHERE kind IN ('CARRIER_CALL', 'CARRIER_READ') AND iccid LIKE '%%1'",
    "the end of the bulk change": "ALTER TABLE m2m.audit_entry DISABLE TRIGGER USER; DELETE FROM m2m.audit_entry "
    "WHERE kind = 'BULK_CHANGE_ENDED'",
}
"""Of the audit log, besides the end of a device."""


@pytest.mark.parametrize("check", Check)
def test_a_promise_that_is_broken_fails_its_check_and_says_where_and_what_to_do(world: World, check: Check) -> None:
    world.submit_and_run()
    sound = {verdict.check: verdict.holds for verdict in world.services.checks.of_everything()}
    if BREAKS[check]:
        world.sql(BREAKS[check])
    else:
        world.control.drift(world.iccids[0], Drift(rate_plan=THIRD))
        world.services.drifting.find(world.provider, full=True)

    (verdict,) = [one for one in world.services.checks.of_everything() if one.check is check]

    assert set(sound.values()) == {True}
    assert not verdict.holds
    assert any(word in verdict.broken[0].row for word in ("bulk change 1", KEY, TENANT))
    typed = [typed for typed in re.findall(r"`(m2m [^`]+)`", verdict.sentence) if "--tenant" in typed]
    if check not in {Check.BUDGET_KEPT, Check.QUEUE_MOVES}:
        assert typed, "what is to be typed names whom it is about"
        assert not any(re.search(r"\b(ID|NAME|TENANT)\b", one) for one in typed)


@pytest.mark.parametrize("missing", MORE_BREAKS)
def test_the_audit_log_tells_of_an_ended_change_whole(world: World, missing: str) -> None:
    world.submit_and_run()
    world.sql(MORE_BREAKS[missing])

    (verdict,) = world.services.checks.of_everything([Check.AUDIT_COMPLETE])

    assert [one.row for one in verdict.broken] == ["bulk change 1"]


def test_a_device_that_a_reading_confirmed_after_a_crash_needs_no_call_in_the_log(world: World) -> None:
    world.submit_and_run()
    world.sql("ALTER TABLE m2m.audit_entry DISABLE TRIGGER USER")
    world.sql("DELETE FROM m2m.audit_entry WHERE kind = 'CARRIER_READ'")
    world.sql("UPDATE m2m.audit_entry SET kind = 'CARRIER_READ' WHERE kind = 'CARRIER_CALL'")

    assert world.services.checks.of_everything([Check.AUDIT_COMPLETE])[0].holds


def test_a_plan_that_was_altered_in_amop_after_the_change_is_no_agreement_until_a_later_change(world: World) -> None:
    world.submit_and_run()
    world.import_devices(world.iccids[:1], rate_plan=THIRD)
    world.services.drifting.find(world.provider, full=True)
    (altered,) = world.services.checks.of_everything([Check.AMOP_EQUALS_CARRIER])

    world.submit_and_run(world.iccids[:1], rate_plan=OLD)
    world.services.drifting.find(world.provider, full=True)
    (superseded,) = world.services.checks.of_everything([Check.AMOP_EQUALS_CARRIER])

    assert [(one.row, one.wrong) for one in altered.broken] == [
        ("bulk change 1", "1 devices that it moved have drifted since")
    ]
    assert superseded.holds


@pytest.mark.parametrize(
    ("meanwhile", "holds"),
    [
        ("DELETE FROM m2m.device", True),
        ("DELETE FROM m2m.carrier_credential", True),
        ("UPDATE m2m.reconciliation_pass SET finished_at = now() - interval '47 hours'", True),
        ("UPDATE m2m.reconciliation_pass SET finished_at = now() - interval '49 hours'", False),
        ("UPDATE m2m.reconciliation_pass SET phase = 'ABANDONED'", False),
    ],
)
def test_who_can_be_asked_and_has_devices_is_compared_within_the_limit(
    world: World, meanwhile: str, holds: bool
) -> None:
    world.services.drifting.find(world.provider)
    world.sql(BREAKS[Check.RECONCILIATION_FRESH])
    world.sql(meanwhile)

    assert world.services.checks.of_everything([Check.RECONCILIATION_FRESH])[0].holds is holds


@pytest.mark.parametrize(("found", "told"), [(99, "(99 in all)"), (100, "(100 or more in all)")])
def test_what_is_cut_is_told_as_cut(found: int, told: str) -> None:
    verdict = Verdict(Check.COUNTS_BALANCE, [Breach(f"bulk change {n}", "off", {"ID": f"{n}"}) for n in range(found)])

    assert told in verdict.sentence
    assert "`m2m result 0 --tenant TENANT`" in verdict.sentence


def test_a_table_shows_the_first_hundred_rows() -> None:
    assert MOST == MOST_TABLE_ROWS == 100
    shown = table({"row": "int"}, [[n] for n in range(101)])

    assert [record.data for record in shown.records] == [{"row": n} for n in range(100)]


def test_a_broken_promise_is_told_to_the_operators_once_and_so_is_that_it_holds_again(
    world: World, instance: dg.DagsterInstance
) -> None:
    world.services.destinations.store(None, DestinationKind.EMAIL, "oncall@example.com", None, "test")
    world.submit_and_run()
    world.sql(BREAKS[Check.COUNTS_BALANCE])
    world.sql(BREAKS[Check.RECONCILIATION_FRESH])  # has an alert of its own
    for _ in range(2):
        run_job(build(), "checks", instance)
        world.services.alerting.watch()
    named = {one.name: one for one in world.services.alerting.health().open_alerts}
    world.sql("UPDATE m2m.bulk_change SET result = jsonb_set(result, '{counts}', '{\"PROCESSED\": 3}')")
    run_job(build(), "checks", instance)

    assert set(named) == {AlertName.PROMISE_BROKEN, AlertName.RECONCILIATION_STALE}
    assert named[AlertName.PROMISE_BROKEN].subject == Check.COUNTS_BALANCE
    assert f"`m2m result 1 --tenant {TENANT}`" in named[AlertName.PROMISE_BROKEN].detail
    told = world.sql("SELECT event_type, body::jsonb->'data'->>'name' FROM m2m.notice WHERE tenant_id IS NULL")
    assert sorted(told) == [
        ("alert.raised", "PROMISE_BROKEN"),
        ("alert.raised", "RECONCILIATION_STALE"),
        ("alert.resolved", "PROMISE_BROKEN"),
    ]


def test_the_scheduled_checks_are_shown_at_their_assets(world: World, instance: dg.DagsterInstance) -> None:
    world.submit_and_run()
    world.sql(BREAKS[Check.BUDGET_KEPT])

    evaluations = run_job(build(), "checks", instance).get_asset_check_evaluations()

    assert {(one.asset_key, one.check_name) for one in evaluations} == {
        (key, check.value) for check, key in ASSETS.items()
    }
    (failed,) = [one for one in evaluations if not one.passed]
    assert failed.check_name == Check.BUDGET_KEPT.value
    assert PROMISES[Check.BUDGET_KEPT].next_step in str(failed.description)
    assert len(failed.metadata["rows"].value) <= MOST_TABLE_ROWS  # pyright: ignore[reportArgumentType] -- a table


def test_a_single_check_is_run_alone(world: World, instance: dg.DagsterInstance) -> None:
    world.submit_and_run()
    chosen = dg.AssetCheckKey(ASSETS[Check.CHAIN_VERIFIES], Check.CHAIN_VERIFIES.value)
    alone = dg.define_asset_job("alone", dg.AssetSelection.checks(chosen))
    definitions = dg.Definitions.merge(build(), dg.Definitions(jobs=[alone]))

    evaluations = run_job(definitions, "alone", instance).get_asset_check_evaluations()

    assert [(one.asset_check_key, one.passed) for one in evaluations] == [(chosen, True)]


def test_what_the_carrier_refused_is_a_warning_and_what_we_promise_an_error(
    world: World, instance: dg.DagsterInstance
) -> None:
    world.submit_and_run()
    world.sql(BREAKS[Check.NO_DEVICE_REFUSED])

    evaluations = run_job(build(), "checks", instance).get_asset_check_evaluations()

    severities = {Check(one.check_name): one.severity for one in evaluations if not one.passed}
    assert severities == {
        Check.NO_DEVICE_REFUSED: dg.AssetCheckSeverity.WARN,
        Check.COUNTS_BALANCE: dg.AssetCheckSeverity.ERROR,
        Check.AUDIT_COMPLETE: dg.AssetCheckSeverity.ERROR,
    }


def test_a_bulk_change_that_ends_well_does_not_hide_what_another_has_broken(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    world.submit_and_run()
    world.sql(BREAKS[Check.COUNTS_BALANCE])
    run_job(build(), "checks", instance)

    well = run_change(world.submit(rate_plan=THIRD).bulk_change_id, platform, instance)

    ended = {one.check_name: (one.passed, one.partition) for one in well.get_asset_check_evaluations()}
    assert ended[Check.COUNTS_BALANCE.value] == (False, None)
    assert ended[Check.NO_DEVICE_OPEN.value] == (True, "2")


def test_what_was_broken_is_shown_as_mended_at_the_next_end(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    world.submit_and_run()
    world.sql(BREAKS[Check.NO_DEVICE_REFUSED])
    run_job(build(), "checks", instance)
    world.sql("UPDATE m2m.device_change SET status = 'PROCESSED', reason = NULL")

    well = run_change(world.submit(rate_plan=THIRD).bulk_change_id, platform, instance)

    ended = {one.check_name: (one.passed, one.partition) for one in well.get_asset_check_evaluations()}
    assert ended[Check.NO_DEVICE_REFUSED.value] == (True, None)


@pytest.mark.parametrize("check", Check)
def test_the_document_says_what_the_code_says(check: Check) -> None:
    (row,) = [line for line in DOCUMENT.read_text().splitlines() if line.startswith(f"| `{check}`")]
    _, name, asset, title, _ = (cell.strip() for cell in row.split("|"))

    assert name.endswith("*") is PROMISES[check].at_each_end
    assert asset.strip("`") == ASSETS[check].to_user_string()
    assert title == PROMISES[check].title
