"""The scheduled reconciliation: one run for each service provider settles what ended unknown, and looks for drift."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from m2m_pipeline.domain.accounts import ServiceProvider
from m2m_pipeline.domain.drift import CAUSES, DriftCause
from m2m_pipeline.domain.passes import PassSummary
from m2m_pipeline.logs import redacted
from m2m_pipeline.orchestration.assets import headline
from m2m_pipeline.orchestration.catalog import carrier_state, inventory, provider_partitions, rate_plan_drift
from m2m_pipeline.orchestration.checks import show_end
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline.orchestration.plots import trend_plot
from m2m_pipeline.orchestration.tables import table
from m2m_pipeline.orchestration.upkeep import RECONCILIATION, UPKEEP, operators_told
from m2m_pipeline.orchestration.worker import worker
from m2m_pipeline.services.drift.drifting import Found
from m2m_pipeline.services.links import Links
from m2m_pipeline.services.reconciliation import Reconciled
from m2m_pipeline.services.statistics import DriftTables


class ReconciliationRun(dg.Config):
    """How much a run looks at."""

    full: bool = False
    """Compare the carrier's whole list, not only what was modified since the last pass."""


def partition_keys(platform: Platform) -> Mapping[str, ServiceProvider]:
    """The providers that can be asked, by the name of their partition."""
    known = platform.services.drifting.providers()
    return {f"{tenant}/{provider.name}".replace("...", "…"): provider for tenant, provider in known}


@dg.multi_asset(
    name="reconcile", specs=[carrier_state, rate_plan_drift], partitions_def=provider_partitions, can_subset=False
)
def reconcile(
    context: dg.AssetExecutionContext, config: ReconciliationRun, platform: Platform
) -> Iterator[dg.MaterializeResult[Any]]:
    """Settle the devices whose outcome is unknown, then find where AMOP and the carrier differ. Nothing is sent."""
    provider = _provider(context, platform)
    with operators_told(platform.services.alerting, RECONCILIATION, context.partition_key):
        settled = platform.services.reconciliation.settle(provider)
        _show_settled(context, platform, settled)
        found = platform.services.drifting.find(provider, full=config.full)
        if found.elsewhere:
            context.log.info(redacted(str(found.stopped)))
            return
        if found.stopped or found.summary is None:
            raise dg.Failure(description=redacted(f"{context.partition_key}: {found.stopped}"), allow_retries=False)
        yield dg.MaterializeResult(asset_key=carrier_state.key, metadata=_list_metadata(found.summary) | worker())
        tables = platform.services.statistics.drift(provider)
        yield dg.MaterializeResult(
            asset_key=rate_plan_drift.key,
            metadata=_drift_metadata(found, settled, tables, platform.services.links) | worker(),
        )


@dg.asset(
    key=inventory.key,
    description=inventory.description,
    partitions_def=provider_partitions,
    kinds=inventory.kinds,
    owners=list(inventory.owners),
    group_name=inventory.group_name,
)
def inventory_from_the_carrier(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult[Any]:
    """Load plans and devices from the carrier; never by schedule, since it replaces what AMOP believed."""
    provider = _provider(context, platform)
    seen, changed = asyncio.run(platform.services.accounts.sync(provider, lambda _: None))
    plans = platform.services.statistics.inventory(provider)
    return dg.MaterializeResult(
        metadata={
            "devices": sum(devices for _, devices in plans),
            "devices read": seen,
            "new or changed": changed,
            "devices by rate plan": table({"rate plan": "string", "devices": "int"}, plans),
            **worker(),
        }
    )


reconciliation = dg.define_asset_job(
    RECONCILIATION,
    selection=dg.AssetSelection.assets(carrier_state.key, rate_plan_drift.key).without_checks(),
    description="Settle the devices of a provider whose outcome is unknown, and find its drift.",
    executor_def=dg.in_process_executor,
    tags=UPKEEP,
)


def reconciliation_schedule(cron: str) -> dg.ScheduleDefinition:
    """The reconciliation, on by default: a run for each provider."""

    @dg.schedule(
        name="reconcile_regularly",
        job=reconciliation,
        cron_schedule=cron,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def reconcile_regularly(
        context: dg.ScheduleEvaluationContext, platform: Platform
    ) -> list[dg.RunRequest] | dg.SkipReason:
        """Keep the partitions in step with the providers, and start a run for each whose last one has ended."""
        keys = list(partition_keys(platform))
        _keep_partitions(context.instance, keys)
        busy = {run.tags.get("dagster/partition") for run in context.instance.get_runs(_unfinished())}
        due = [key for key in keys if key not in busy]
        if not due:
            return dg.SkipReason("No provider has a credential." if not keys else "Each provider has a run already.")
        moment = f"{context.scheduled_execution_time:%Y-%m-%dT%H:%M}"
        return [dg.RunRequest(run_key=f"{key} {moment}", partition_key=key) for key in due]

    return reconcile_regularly


def _keep_partitions(instance: dg.DagsterInstance, keys: list[str]) -> None:
    name = str(provider_partitions.name)
    known = set(instance.get_dynamic_partitions(name))
    if new := [key for key in keys if key not in known]:
        instance.add_dynamic_partitions(name, new)
    for gone in known.difference(keys):
        instance.delete_dynamic_partition(name, gone)


def _unfinished() -> dg.RunsFilter:
    unfinished = [status for status in dg.DagsterRunStatus if status not in _FINISHED]
    return dg.RunsFilter(job_name=reconciliation.name, statuses=unfinished)


_FINISHED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


def _provider(context: dg.AssetExecutionContext, platform: Platform) -> ServiceProvider:
    known = partition_keys(platform)
    if context.partition_key not in known:
        message = f'"{context.partition_key}" is no service provider with a credential. Nothing was done.'
        raise dg.Failure(description=f"{message} See `m2m provider list`.", allow_retries=False)
    # A provider that is newer than the schedule's last tick: its partition is made by whoever comes first.
    context.instance.add_dynamic_partitions(str(provider_partitions.name), [context.partition_key])
    return known[context.partition_key]


def _show_settled(context: dg.AssetExecutionContext, platform: Platform, settled: Reconciled) -> None:
    show_end(context, platform, *settled.bulk_changes)
    for document in settled.bulk_changes:
        context.log.info("Bulk change %d: %s", document.id, redacted(headline(document)))
    context.log.info(
        "%s: %d devices settled, %d still unknown.", redacted(settled.provider), settled.settled, settled.unknown
    )


def _list_metadata(summary: PassSummary) -> dict[str, dg.MetadataValue]:
    seconds = (summary.finished_at - summary.started_at).total_seconds() if summary.finished_at else 0.0
    return {
        "whole list": dg.MetadataValue.bool(summary.full),
        "devices listed": dg.MetadataValue.int(summary.listed),
        "devices read alone": dg.MetadataValue.int(summary.checked),
        "carrier calls": dg.MetadataValue.int(summary.carrier_calls),
        "seconds, interruptions included": dg.MetadataValue.float(seconds),
    }


def _drift_metadata(
    found: Found, settled: Reconciled, tables: DriftTables, links: Links
) -> dict[str, dg.MetadataValue]:
    """In Dagster's order: which drift and what to do about it, then the numbers, one by one so that it plots them."""
    causes = [(CAUSES[one].title, one.value, count, CAUSES[one].next_step) for one, count in found.counts.items()]
    columns = {"AMOP's plan": "string", "carrier's plan": "string", "devices": "int"}
    problems = found.repaired.problems
    return {
        "devices drifted": dg.MetadataValue.int(found.drifted),
        "by cause": table({"cause": "string", "code": "string", "devices": "int", "next step": "string"}, causes),
        **{f"waits for a person: change {one}": _where_to_start(one, links) for one in found.repaired.waiting},
        **({"not prepared": dg.MetadataValue.text(" ".join(map(redacted, problems)))} if problems else {}),
        "by plans": table({"cause": "string", **columns}, tables.by_plans),
        "trend": trend_plot(tables.trend),
        **{f"devices {CAUSES[one].title}": dg.MetadataValue.int(found.counts.get(one, 0)) for one in DriftCause},
        "differences over": dg.MetadataValue.int(found.resolved),
        "devices left for the next pass": dg.MetadataValue.int(found.summary.unchecked if found.summary else 0),
        "devices settled": dg.MetadataValue.int(settled.settled),
        "outcomes still unknown": dg.MetadataValue.int(settled.unknown),
        "changes for a day to come": dg.MetadataValue.int(settled.to_come),
        "devices in which AMOP followed": dg.MetadataValue.int(found.repaired.followed),
    }


def _where_to_start(bulk_change_id: int, links: Links) -> dg.MetadataValue:
    page = links.of_change(bulk_change_id).get("page")
    return dg.MetadataValue.url(page) if page else dg.MetadataValue.text(f"m2m process {bulk_change_id}")
