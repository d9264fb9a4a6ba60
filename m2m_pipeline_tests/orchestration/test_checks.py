"""Promises: each is broken once, and its check fails, says where, and what to do."""

from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import pytest

from m2m_pipeline.orchestration.checks import ASSETS
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline.orchestration.tables import MOST_TABLE_ROWS
from m2m_pipeline.services.checks import PROMISES, Check
from m2m_pipeline.simulator.documents import Drift
from m2m_pipeline_tests.orchestration.test_catalog import KEY, build, run_change, run_job
from m2m_pipeline_tests.world import TENANT, THIRD, World

# Dagster itself hands its beta parameter on where it attaches a job to its sensor.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Parameter `owners` of initializer:dagster_shared.utils.warnings.BetaWarning"
)

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
    Check.NOTHING_UNKNOWN: "UPDATE m2m.device_change SET status = 'UNCONFIRMED'; "
    "UPDATE m2m.bulk_change SET finished_at = now() - interval '1 day'",
    Check.DRIFT_IN_BOUNDS: "",
    Check.BUDGET_KEPT: "UPDATE m2m.bulk_change SET carrier_calls = 1000000",
    Check.QUEUE_MOVES: "UPDATE m2m.bulk_change SET status = 'QUEUED', attempt_queued_at = now() - interval '1 hour'",
}


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
    assert any(word in verdict.broken[0][0] for word in ("bulk change 1", KEY, TENANT))


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
