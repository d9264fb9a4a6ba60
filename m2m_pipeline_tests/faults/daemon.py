"""Dagster's own daemon, which kills itself at a point of a tick: `python -m m2m_pipeline_tests.faults.daemon run …`."""

import os
from collections.abc import Mapping

from dagster._daemon import sensor
from dagster._daemon.cli import main

from m2m_pipeline_tests.faults.points import Point, arm

POINT = "TICK_POINT"
"""The environment variable that names the point; without it the daemon lives."""

_EVALUATE = "dagster._core.remote_representation.code_location.GrpcServerCodeLocation.get_sensor_execution_data"
_INSTANCE = "dagster._core.instance.DagsterInstance"

TICK_POINTS: Mapping[str, Point] = {
    "after the sweeper's commit": Point(_EVALUATE, "after", of="sweep_abandoned_attempts"),
    "after the look, before anything of it is stored": Point(_EVALUATE, "after", of="dispatch_bulk_changes"),
    "after the requests are stored, before a run is": Point(f"{_INSTANCE}.create_run", "before"),
    "after a run is stored, before it is queued": Point(f"{_INSTANCE}.submit_run", "before"),
    "after it is queued, before the tick's end is stored": Point(f"{_INSTANCE}.submit_run", "after"),
}

LOOP_SECONDS = 1
"""Between looks at what is due: after a death a test need not wait for Dagster's five."""

if __name__ == "__main__":
    sensor.MIN_INTERVAL_LOOP_TIME = LOOP_SECONDS
    if name := os.environ.get(POINT):
        arm(TICK_POINTS[name], 1)
    main()
