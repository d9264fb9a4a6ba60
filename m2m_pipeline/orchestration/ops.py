"""The steps of the run. Each is a sentence: ids in, one service call, ids out; the truth is in the rows.

What `attempt` passes over, because the bulk change has ended or is another run's, is handed on as it came.
"""

from collections.abc import Iterator, Sequence

import dagster as dg

from m2m_pipeline.domain.attempt import NotThisRunsError
from m2m_pipeline.domain.change import Batch
from m2m_pipeline.logs import redacted
from m2m_pipeline.orchestration.assets import headline
from m2m_pipeline.orchestration.checks import show_end
from m2m_pipeline.orchestration.failures import attempt, ending_in_the_catalog, refuse_anothers_tags
from m2m_pipeline.orchestration.platform import Platform


class BulkChangeRun(dg.Config):
    """Which bulk change a run works on."""

    bulk_change_id: int


def _later(priority: int) -> dict[str, str]:
    """Depth first: a batch is in AMOP and audited before the next one calls the carrier.

    Without rising priorities the in-process executor makes all carrier calls first (measured).
    """
    return {"dagster/priority": str(priority)}


def _runs_every_step(context: dg.OpExecutionContext) -> bool:
    """Whether the run takes every batch in turn; where an operator chose steps, only these batches are touched."""
    chosen = context.run.step_keys_to_execute
    return chosen is None or f"{context.op.name}[?]" in chosen  # Dagster's name of a mapped step before it is mapped


@dg.op(out=dg.Out(int, is_required=False))
def validate_request(
    context: dg.OpExecutionContext, config: BulkChangeRun, platform: Platform
) -> Iterator[dg.Output[int]]:
    """Take the lease and examine the request again; where there is nothing for this run to do, the rest is skipped.

    Fails for an id that nobody has, or that nobody has started: nobody else would tell whoever typed it.
    """
    taken = False
    with ending_in_the_catalog(context, platform, config.bulk_change_id, quiet=NotThisRunsError) as execution:
        refuse_anothers_tags(context.run, config.bulk_change_id)
        execution.validate_request(config.bulk_change_id, context.run_id)
        taken = True
    if taken:
        yield dg.Output(config.bulk_change_id)


@dg.op
def build_change_details(context: dg.OpExecutionContext, platform: Platform, bulk_change_id: int) -> int:
    """Write down each device's plan before anything is sent; end the devices that need no call."""
    with attempt(context, platform) as execution:
        counts = execution.build_change_details(bulk_change_id, context.run_id)
        context.add_output_metadata({status.lower(): count for status, count in counts.items()})
    return bulk_change_id


@dg.op
def authenticate_carrier(context: dg.OpExecutionContext, platform: Platform, bulk_change_id: int) -> int:
    """Credential, permission to write, sign-in: if one is missing, the change ends here and no device is touched."""
    with ending_in_the_catalog(context, platform, bulk_change_id) as execution:
        execution.authenticate_carrier(bulk_change_id, context.run_id)
    return bulk_change_id


@dg.op(out=dg.DynamicOut(Batch))
def plan_batches(
    context: dg.OpExecutionContext, platform: Platform, bulk_change_id: int
) -> Iterator[dg.DynamicOutput[Batch]]:
    """Cut the devices that are still open into batches: one mapped step each."""
    batches: Sequence[Batch] = ()
    with attempt(context, platform) as execution:
        batches = execution.plan_batches(bulk_change_id, context.run_id)
    for batch in batches:
        yield dg.DynamicOutput(batch, mapping_key=batch.key, metadata={"devices": batch.devices})


@dg.op(tags=_later(1))
def change_devices(context: dg.OpExecutionContext, platform: Platform, batch: Batch) -> Batch:
    """Change the devices of a batch at the carrier, and confirm what it claims."""
    with attempt(context, platform) as execution:
        execution.change_devices(batch, context.run_id, read_ahead=_runs_every_step(context))
    return batch


@dg.op(tags=_later(2))
def update_amop(context: dg.OpExecutionContext, platform: Platform, batch: Batch) -> Batch:
    """Bring AMOP's inventory to what the carrier has applied."""
    with attempt(context, platform) as execution:
        execution.update_amop(batch, context.run_id)
    return batch


@dg.op(tags=_later(3))
def write_audit(context: dg.OpExecutionContext, platform: Platform, batch: Batch) -> int:
    """Write the audit entry of every device of the batch that has ended."""
    with attempt(context, platform) as execution:
        return execution.write_audit(batch, context.run_id)
    return 0  # `attempt` has passed over it


@dg.op
def finalize_bulk_change(
    context: dg.OpExecutionContext, platform: Platform, bulk_change_id: int, audited: Sequence[int]
) -> None:
    """End the bulk change with the truth of its rows; what the steps returned is only shown, never counted on."""
    with attempt(context, platform) as execution:
        document = execution.finalize(bulk_change_id, context.run_id)
        show_end(context, platform, document)
        context.log.info(
            "%s; %d audit entries from %d batches.", redacted(headline(document)), sum(audited), len(audited)
        )
