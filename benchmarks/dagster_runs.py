"""The measured process of a plain Dagster job, over Dagster's real storage."""

from collections.abc import Callable, Mapping

import dagster as dg

from benchmarks.protocol import Worker


def runs_of(job: Callable[[], dg.JobDefinition]) -> Worker:
    """Runs the job that this function of a module returns; the order is the word to begin."""
    instance = dg.DagsterInstance.get()

    def work(_: str) -> Mapping[str, str]:
        result = dg.execute_job(dg.reconstructable(job), instance=instance, raise_on_error=True)
        return {"run_id": result.run_id}

    return work
