"""The measured process of a bulk change: its Dagster run, over Dagster's real storage, in a process of its own.

So the default run launcher runs it too; only the queue before it is left out, which the scenario `reaction` measures.
"""

from collections.abc import Mapping

import dagster as dg

from benchmarks.protocol import Worker
from m2m_pipeline.bootstrap import build
from m2m_pipeline.definitions import defs
from m2m_pipeline.domain.change import QueuedBulkChange
from m2m_pipeline.orchestration.assets import bulk_change_partitions
from m2m_pipeline.orchestration.jobs import bulk_carrier_rate_plan_change
from m2m_pipeline.orchestration.sensors import run_request
from m2m_pipeline.settings import load_settings


def job() -> dg.JobDefinition:
    """The job with its resources, as the code location has it."""
    return defs.resolve_job_def(bulk_carrier_rate_plan_change.name)


def prepare(_: str) -> Worker:
    """Everything is imported. The order is the id of a queued bulk change; the Dagster run's id is told."""
    instance = dg.DagsterInstance.get()

    def work(order: str) -> Mapping[str, str]:
        request = run_request(_queued(int(order)))
        instance.add_dynamic_partitions(str(bulk_change_partitions.name), [order])
        result = dg.execute_job(
            dg.reconstructable(job),
            instance=instance,
            run_config=request.run_config,
            tags=request.tags,
            raise_on_error=True,
        )
        return {"run_id": result.run_id}

    return work


def _queued(bulk_change_id: int) -> QueuedBulkChange:
    services = build(load_settings())
    try:
        return next(one for one in services.queue.head() if one.id == bulk_change_id)
    finally:
        services.close()
