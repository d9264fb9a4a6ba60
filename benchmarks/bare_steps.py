"""The steps of our job with nothing in them: what Dagster itself takes, whatever the steps do."""

from collections.abc import Iterator, Sequence

import dagster as dg

from benchmarks.dagster_runs import runs_of
from benchmarks.protocol import Worker


@dg.op
def validate() -> int:
    """The first."""
    return 0


@dg.op
def handed_on(given: int) -> int:
    """One that needs the one before."""
    return given


@dg.op(out=dg.DynamicOut(int))
def batches(given: int) -> Iterator[dg.DynamicOutput[int]]:
    """One batch."""
    yield dg.DynamicOutput(given, mapping_key="1")


@dg.op
def end(given: int, mapped: Sequence[int]) -> None:
    """The last."""
    del given, mapped


@dg.job(executor_def=dg.in_process_executor)
def bare_steps() -> None:
    """As many steps as `bulk_carrier_rate_plan_change` has for one batch, joined as its steps are."""
    given = handed_on.alias("authenticate")(handed_on.alias("build_details")(validate()))
    mapped = batches(given).map(handed_on.alias("change")).map(handed_on.alias("update")).map(handed_on.alias("audit"))
    end(given, mapped.collect())


def job() -> dg.JobDefinition:
    """The job, where Dagster can import it."""
    return bare_steps


def prepare(_: str) -> Worker:
    """Dagster's storage is there."""
    return runs_of(job)
