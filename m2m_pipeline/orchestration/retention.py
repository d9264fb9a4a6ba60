"""The scheduled job that removes what is no longer needed: old runs of Dagster, with all that is of them; our records.

Of ticks it removes what Dagster leaves: those of sensors and schedules that tick no more.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

import dagster as dg

from m2m_pipeline.logs import redacted
from m2m_pipeline.orchestration.assets import bulk_change_partitions
from m2m_pipeline.orchestration.event_log import purge_checks
from m2m_pipeline.orchestration.platform import BULK_CHANGE, Platform
from m2m_pipeline.orchestration.sweeping import bulk_change_of
from m2m_pipeline.orchestration.ticks import purge_ticks
from m2m_pipeline.orchestration.upkeep import UPKEEP, operators_told
from m2m_pipeline.services.retention import Retention

BATCH = 100
"""Runs that are looked at together."""

RUNS, CHECKS, TICKS = "dagster_run", "asset_check_execution", "dagster_tick"
"""What they are called in the records of what was removed."""

_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dg.op
def purge_expired(context: dg.OpExecutionContext, platform: Platform) -> None:
    """Remove old runs and expired records, and tell how many."""
    keeper = platform.services.retention
    with operators_told(platform.services.alerting, context.job_name):
        removed = {**keeper.purge_records(), RUNS: purge_runs(context.instance, keeper)}
        before = keeper.run_limit()
        removed[CHECKS] = purge_checks(
            context.instance, before, lambda count: keeper.note(CHECKS, {None: count}, before)
        )
        removed[TICKS] = purge_ticks(context.instance, lambda count, since: keeper.note(TICKS, {None: count}, since))
    told = ", ".join(f"{count} of {name}" for name, count in removed.items() if count) or "nothing"
    context.log.info("Removed: %s.", redacted(told))
    context.add_output_metadata({name: dg.MetadataValue.int(count) for name, count in removed.items()})


@dg.job(executor_def=dg.in_process_executor, tags=UPKEEP)
def retention() -> None:
    """Remove what is older than the settings say: never audit entries, bulk changes, or what has not ended."""
    purge_expired()


def purge_runs(instance: dg.DagsterInstance, keeper: Retention) -> int:
    """Remove finished runs from before the limit; how many. Runs of bulk changes that have not ended stay.

    A removed run reopens its run key: the key of an ended bulk change's attempt is asked for by nobody.
    """
    before, removed, kept = keeper.run_limit(), 0, 0
    while True:
        found = instance.get_runs(_old(before), limit=BATCH + kept)
        bulk_changes = {run.run_id: bulk_change_of(run) for run in found}
        named = [one for one in bulk_changes.values() if one is not None]
        under_way, ended = keeper.under_way(named), keeper.ended(named)
        going = [run for run in found if bulk_changes[run.run_id] not in under_way]
        if not going:
            return removed
        # A number that somebody mistyped in the launchpad is nobody's.
        tenants = [ended.get(one) if (one := bulk_changes[run.run_id]) is not None else None for run in going]
        # On record first: rather an entry for what a crash left standing than a run that vanished without one.
        keeper.note(RUNS, Counter(tenants), before)
        for run in going:
            instance.compute_log_manager.delete_logs(prefix=[run.run_id])
            instance.delete_run(run.run_id)
        _forget_partitions(instance, ended)
        removed += len(going)
        kept = len(found) - len(going)


def _old(before: datetime) -> dg.RunsFilter:
    return dg.RunsFilter(statuses=_FINISHED, created_before=before)


def _forget_partitions(instance: dg.DagsterInstance, bulk_changes: Mapping[int, int]) -> None:
    """Take bulk changes without any run left out of the catalog, which bears 100,000 partitions and not more."""
    if not bulk_changes:
        return
    tags = {BULK_CHANGE: [str(one) for one in bulk_changes]}
    left = {run.tags[BULK_CHANGE] for run in instance.get_runs(dg.RunsFilter(tags=tags))}
    name = bulk_change_partitions.name
    assert name is not None
    for one in bulk_changes:
        if str(one) not in left and instance.has_dynamic_partition(name, str(one)):
            instance.delete_dynamic_partition(name, str(one))
