"""The process of what is scheduled: each job is executed for real, in Dagster's own database."""

from collections.abc import Iterator, Mapping

import dagster as dg

from benchmarks.history.company import MEMBERS, RUNS
from benchmarks.protocol import Worker
from m2m_pipeline.definitions import defs
from m2m_pipeline.orchestration.catalog import provider_partitions
from m2m_pipeline.orchestration.reconciliation import reconciliation


def prepare(_: str) -> Worker:
    """Everything is imported. The order is the name of a scheduled job; told are its runs, and what its steps put out.

    Which is the numbers of their metadata, by name.
    """
    instance = dg.DagsterInstance.get()

    def work(order: str) -> Mapping[str, str]:
        job = defs.resolve_job_def(order)
        partitions = _partitions(instance) if order == reconciliation.name else [None]
        results = [job.execute_in_process(instance=instance, partition_key=one) for one in partitions]
        put_out = {name: number for one in results for name, number in _numbers(one)}
        return {**put_out, RUNS: " ".join(one.run_id for one in results)}

    return work


def _numbers(result: dg.ExecuteInProcessResult) -> Iterator[tuple[str, str]]:
    for event in result.all_events:
        if event.is_successful_output:
            for name, value in event.step_output_data.metadata.items():
                if isinstance(value, dg.IntMetadataValue):
                    yield name, str(value.value)


def _partitions(instance: dg.DagsterInstance) -> list[str]:
    keys = [f"{one.tenant}/{one.name}" for one in MEMBERS]
    instance.add_dynamic_partitions(str(provider_partitions.name), keys)
    return keys
