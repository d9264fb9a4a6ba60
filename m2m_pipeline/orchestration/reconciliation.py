"""The scheduled settling of what ended unknown."""

import dagster as dg

from m2m_pipeline.orchestration.assets import headline, materialization
from m2m_pipeline.orchestration.platform import Platform


@dg.op
def settle_unknown_outcomes(context: dg.OpExecutionContext, platform: Platform) -> None:
    """Ask the carriers about devices whose outcome is unknown, let AMOP follow, and tell the ends anew."""
    reconciliation = platform.services.reconciliation
    for provider in reconciliation.providers():
        done = reconciliation.settle(provider)
        for document in done.bulk_changes:
            context.log_event(materialization(document))
            context.log.info("Bulk change %d: %s", document.id, headline(document))
        context.log.info("%s: %d devices settled, %d still unknown.", provider.name, done.settled, done.unknown)


@dg.job(executor_def=dg.in_process_executor, tags={"dagster/max_retries": "0"})
def reconciliation() -> None:
    """Settle the devices, of all providers, whose outcome was unknown when their bulk change ended."""
    settle_unknown_outcomes()


def reconciliation_schedule(cron: str) -> dg.ScheduleDefinition:
    """The reconciliation, on by default."""
    return dg.ScheduleDefinition(
        name="reconcile_regularly",
        job=reconciliation,
        cron_schedule=cron,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
