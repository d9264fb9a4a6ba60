"""The process that materializes: what it needed, to be plotted over the partitions."""

import os
import time
from resource import RUSAGE_SELF, getrusage

import dagster as dg
import psutil


def worker() -> dict[str, dg.MetadataValue]:
    """Peak memory, age and processor time of this process: a run's worker, or the code server where a sensor tells."""
    process = psutil.Process(os.getpid())
    with process.oneshot():
        used = process.cpu_times()
        return {
            "worker peak memory (MB)": dg.MetadataValue.float(round(getrusage(RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1)),
            "worker seconds": dg.MetadataValue.float(round(time.time() - process.create_time(), 1)),
            "worker CPU seconds": dg.MetadataValue.float(round(used.user + used.system, 1)),
        }
