"""Promises as asset checks: some at the end of each bulk change, all of them by schedule."""

from collections.abc import Iterator, Mapping, Sequence

import dagster as dg

from m2m_pipeline.logs import redacted
from m2m_pipeline.orchestration.assets import audit_materialization, materialization
from m2m_pipeline.orchestration.catalog import audit_trail, budget_use, bulk_changes, rate_plan_drift
from m2m_pipeline.orchestration.event_log import make_room_for_checks
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline.orchestration.tables import table
from m2m_pipeline.orchestration.upkeep import UPKEEP, operators_told
from m2m_pipeline.services.checks import PROMISES, Check, Verdict
from m2m_pipeline.services.reporting import ResultDocument
from m2m_pipeline.storage.best_effort import best_effort

ASSETS: Mapping[Check, dg.AssetKey] = {
    Check.COUNTS_BALANCE: bulk_changes.key,
    Check.NO_DEVICE_OPEN: bulk_changes.key,
    Check.NO_DEVICE_REFUSED: bulk_changes.key,
    Check.AUDIT_COMPLETE: audit_trail.key,
    Check.CHAIN_VERIFIES: audit_trail.key,
    Check.AMOP_EQUALS_CARRIER: rate_plan_drift.key,
    Check.RECONCILIATION_FRESH: rate_plan_drift.key,
    Check.NOTHING_UNKNOWN: bulk_changes.key,
    Check.DRIFT_IN_BOUNDS: rate_plan_drift.key,
    Check.BUDGET_KEPT: budget_use.key,
    Check.QUEUE_MOVES: bulk_changes.key,
}


@dg.multi_asset_check(
    name="hold_promises_against_the_rows",
    can_subset=True,
    specs=[
        dg.AssetCheckSpec(check.value, asset=ASSETS[check], description=f"{promise.title} If not: {promise.next_step}")
        for check, promise in PROMISES.items()
    ],
)
def promises(context: dg.AssetCheckExecutionContext, platform: Platform) -> Iterator[dg.AssetCheckResult]:
    """Hold promises against everything that ended lately: those that are chosen, which may be a single one."""
    chosen = [Check(key.name) for key in context.selected_asset_check_keys]
    with operators_told(platform.services.alerting, check_job.name):
        verdicts = platform.services.checks.of_everything(chosen)
    platform.services.alerting.hold(verdicts)
    for verdict in verdicts:
        yield dg.AssetCheckResult(
            asset_key=ASSETS[verdict.check],
            check_name=verdict.check.value,
            passed=verdict.holds,
            severity=_severity(verdict),
            description=redacted(verdict.sentence),
            metadata=_rows(verdict),
        )


check_job = dg.define_asset_job(
    "checks",
    selection=dg.AssetSelection.checks(promises),
    description="Hold every promise against the rows.",
    executor_def=dg.in_process_executor,
    tags=UPKEEP,
)


def show_end(
    context: dg.OpExecutionContext | dg.AssetExecutionContext, platform: Platform, *documents: ResultDocument
) -> None:
    """Tell the catalog, as part of a step, of bulk changes that ended or whose end is told anew."""
    for event in end_events(context.instance, platform, documents):
        context.log_event(event)  # pyright: ignore[reportArgumentType] -- checks are taken, though not in the type
    with best_effort("That the catalog was told was not noted: the sweeper tells it once more."):
        platform.services.showing.note(documents)


def show_end_without_a_run(
    instance: dg.DagsterInstance, platform: Platform, documents: Sequence[ResultDocument]
) -> None:
    """Tell the catalog of ends that no run has told it of."""
    make_room_for_checks(instance, [str(document.id) for document in documents])
    for event in end_events(instance, platform, documents):
        instance.report_runless_asset_event(event)
    platform.services.showing.note(documents)


def end_events(
    instance: dg.DagsterInstance, platform: Platform, documents: Sequence[ResultDocument]
) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
    """What the catalog is told of ends: what each came to, its audit, and whether the promises hold."""
    services = platform.services
    doubtful = _not_shown_as_kept(instance) if documents else set[Check]()
    for document in documents:
        details = services.statistics.change(document.id)
        yield materialization(document, services.links, details)
        yield audit_materialization(document, details)
        for verdict in services.checks.at_end_of(document.id, doubtful):
            yield _evaluation(verdict)
            if not verdict.holds:
                doubtful.add(verdict.check)  # the next one is told before the catalog shows this one


def _evaluation(verdict: Verdict) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=ASSETS[verdict.check],
        check_name=verdict.check.value,
        passed=verdict.holds,
        severity=_severity(verdict),
        description=redacted(verdict.sentence),
        metadata=_rows(verdict),
        partition=str(verdict.bulk_change_id) if verdict.bulk_change_id else None,
    )


def _not_shown_as_kept(instance: dg.DagsterInstance) -> set[Check]:
    """The promises that the catalog does not show as kept: broken, or being held against the rows right now."""
    keys = [dg.AssetCheckKey(asset, check.value) for check, asset in ASSETS.items()]
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    evaluations = ((Check(key.name), record.evaluation) for key, record in latest.items())
    return {check for check, evaluation in evaluations if not (evaluation and evaluation.passed)}


def _severity(verdict: Verdict) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.WARN if PROMISES[verdict.check].only_warns else dg.AssetCheckSeverity.ERROR


def _rows(verdict: Verdict) -> dict[str, dg.MetadataValue]:
    # The number, so that Dagster plots it.
    shown: dict[str, dg.MetadataValue] = {"rows that break it": dg.MetadataValue.int(len(verdict.broken))}
    if verdict.broken:
        shown["rows"] = table(
            {"row": "string", "what is wrong": "string"}, [(one.row, one.wrong) for one in verdict.broken]
        )
    return shown
