"""The process of the purge: its job is executed for real, in Dagster's own database."""

from collections.abc import Iterator, Mapping

import dagster as dg

from benchmarks.protocol import Worker
from m2m_pipeline.definitions import defs


def prepare(_: str) -> Worker:
    """Everything is imported. The order is the name of a job; told are the numbers that its steps put out, by name."""
    instance = dg.DagsterInstance.get()

    def work(order: str) -> Mapping[str, str]:
        return dict(_numbers(defs.resolve_job_def(order).execute_in_process(instance=instance)))

    return work


def _numbers(result: dg.ExecuteInProcessResult) -> Iterator[tuple[str, str]]:
    for event in result.all_events:
        if event.is_successful_output:
            for name, value in event.step_output_data.metadata.items():
                if isinstance(value, dg.IntMetadataValue):
                    yield name, str(value.value)
