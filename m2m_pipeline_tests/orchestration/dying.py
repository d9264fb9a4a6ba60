"""A run in a process of its own, without a code server, that dies at a named point: Dagster learns of no death."""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping

import dagster as dg

from m2m_pipeline_tests.faults.points import Point, arm


def start_dying_run(job: str, point: Point, config: Mapping[str, object] | None = None) -> "subprocess.Popen[bytes]":
    """A run, in the environment of this process, that kills itself when it comes by the point."""
    arguments = [job, json.dumps(config or {}), point.function, point.when]
    return subprocess.Popen([sys.executable, "-m", __name__, *arguments], stderr=subprocess.DEVNULL)


def wait_for_death(run: "subprocess.Popen[bytes]") -> None:
    """Wait until it has."""
    assert run.wait(120) == -signal.SIGKILL


def _run(job: str, config: str, function: str, when: str) -> None:
    """`python -m` this module, with the arguments of a run."""
    from m2m_pipeline.definitions import defs  # noqa: PLC0415 - only the process that dies reads this environment

    arm(Point(function, "before" if when == "before" else "after"), 1)
    with dg.DagsterInstance.get() as instance:
        defs.resolve_job_def(job).execute_in_process(instance=instance, run_config=json.loads(config))


if __name__ == "__main__":
    _run(*sys.argv[1:])
