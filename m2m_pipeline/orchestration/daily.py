"""A row of the catalog for each day: what ended, and how much of each account's budget was used."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, timedelta
from typing import Any

import dagster as dg

from m2m_pipeline.orchestration.catalog import budget_use, daily_statistics, days
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline.orchestration.tables import MOST_TABLE_ROWS, table
from m2m_pipeline.orchestration.upkeep import UPKEEP, operators_told
from m2m_pipeline.orchestration.worker import worker

CHANGE_COLUMNS = {
    "status": "string",
    "bulk changes": "int",
    "devices": "int",
    "devices changed": "int",
    "seconds in the queue, median": "float",
    "seconds of work, median": "float",
}
CALL_COLUMNS = {"tenant": "string", "provider": "string", "carrier calls": "int", "allowed": "int", "share": "float"}


@dg.multi_asset(name="sum_up_the_day", specs=[daily_statistics, budget_use], partitions_def=days, can_subset=False)
def sum_up_the_day(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[dg.MaterializeResult[Any]]:
    """Count what ended on the day (UTC)."""
    with operators_told(platform.services.alerting, daily_job.name):
        day = platform.services.statistics.day(date.fromisoformat(context.partition_key))
        rows = [
            (str(status), int(changes), int(devices), int(changed), round(float(queued), 1), round(float(work), 1))
            for status, changes, devices, changed, queued, work in day.changes.fillna(0).itertuples(index=False)
        ]
        yield dg.MaterializeResult(
            asset_key=daily_statistics.key,
            metadata={
                "bulk changes": sum(row[1] for row in rows),
                "devices": sum(row[2] for row in rows),
                "devices changed": sum(row[3] for row in rows),
                "by status": table(CHANGE_COLUMNS, rows),
                **worker(),
            },
        )
        yield dg.MaterializeResult(asset_key=budget_use.key, metadata=_use(day.calls) | worker())


def _use(calls: Sequence[tuple[str, str, int, float]]) -> dict[str, dg.MetadataValue]:
    """The accounts' shares one by one, as numbers, so that Dagster plots them; the busiest ones of very many."""
    shares = {f"share of {tenant}/{provider}": made / allowed for tenant, provider, made, allowed in calls}
    rows = [
        (tenant, provider, made, int(allowed), round(made / allowed, 4)) for tenant, provider, made, allowed in calls
    ]
    return {
        "carrier calls": dg.MetadataValue.int(sum(made for _, _, made, _ in calls)),
        "share of the busiest account": dg.MetadataValue.float(max(shares.values(), default=0.0)),
        **{name: dg.MetadataValue.float(share) for name, share in list(shares.items())[:MOST_TABLE_ROWS]},
        "by account": table(CALL_COLUMNS, rows),
    }


daily_job = dg.define_asset_job(
    "daily_statistics_job",
    selection=dg.AssetSelection.assets(daily_statistics.key, budget_use.key).without_checks(),
    description="Sum up a day.",
    executor_def=dg.in_process_executor,
    tags=UPKEEP,
)


def daily_schedule(cron: str) -> dg.ScheduleDefinition:
    """The summing up, on by default."""

    @dg.schedule(
        name="sum_up_yesterday",
        job=daily_job,
        cron_schedule=cron,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def sum_up_yesterday(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        """Ask for the day (UTC) before the one on which it is due."""
        day = (context.scheduled_execution_time.astimezone(UTC) - timedelta(days=1)).date().isoformat()
        return dg.RunRequest(run_key=day, partition_key=day)

    return sum_up_yesterday
