"""The obvious Dagster job: two mapped steps a device, in one process."""

import os
from collections.abc import Iterator

import dagster as dg
import httpx
import psycopg

from benchmarks.dagster_runs import runs_of
from benchmarks.fleet import iccids
from benchmarks.peers.task import BODY, INSERT, TIMEOUT_SECONDS, Task, headers, path
from benchmarks.protocol import Worker

_ARGUMENT = "BENCH_TASK"


class Connections(dg.ConfigurableResource["Connections"]):
    """One HTTP client and one database connection for the run: what a careful author would do."""

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Open both."""
        del context
        task = _task()
        self._http = httpx.Client(
            base_url=task.carrier_url, headers=dict(headers()), timeout=TIMEOUT_SECONDS, trust_env=False
        )
        self._database = psycopg.connect(task.database_url, autocommit=True)

    def put(self, iccid: str) -> int:
        """Move a device; the HTTP status."""
        return self._http.put(path(iccid), content=BODY).status_code

    def write(self, iccid: str, status: int) -> None:
        """Store the outcome row."""
        self._database.execute(INSERT, (iccid, status))


@dg.op(out=dg.DynamicOut(str))
def devices() -> Iterator[dg.DynamicOutput[str]]:
    """The devices, each to be mapped."""
    for iccid in iccids(0, _task().devices):
        yield dg.DynamicOutput(iccid, mapping_key=iccid)


@dg.op
def put_device(connections: Connections, iccid: str) -> tuple[str, int]:
    """Move a device."""
    return iccid, connections.put(iccid)


@dg.op
def write_outcome(connections: Connections, outcome: tuple[str, int]) -> None:
    """Write how it ended."""
    connections.write(*outcome)


@dg.job(executor_def=dg.in_process_executor, resource_defs={"connections": Connections()})
def mapped_steps() -> None:
    """One PUT step and one outcome step a device."""
    devices().map(put_device).map(write_outcome)


def job() -> dg.JobDefinition:
    """The job, where Dagster can import it."""
    return mapped_steps


def prepare(argument: str) -> Worker:
    """Dagster's storage is there."""
    os.environ[_ARGUMENT] = argument
    return runs_of(job)


def _task() -> Task:
    return Task.model_validate_json(os.environ[_ARGUMENT])
