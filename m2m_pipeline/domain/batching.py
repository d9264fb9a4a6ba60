"""How a bulk change is cut into batches, each one mapped step of the run."""

from math import ceil

ONE_STEP_A_DEVICE = 25
"""Up to here the Dagster UI shows every device as its own step: one costs 75 to 90 ms, a call at 5 calls/s 200 ms."""

BATCH_SECONDS = 60
"""Above, a batch is about a minute of the account's budget: progress is seen, and a step's cost no longer counts."""

MAX_BATCH_SIZE = 2_000
MAX_BATCHES = 200
"""Dagster keeps every mapped step in each of its decisions: beyond a few hundred, the run spends its time on itself."""


def batch_size(wanted: int | None, devices: int, calls_per_second: float) -> int:
    """Devices a batch for a bulk change of `devices` devices on an account of `calls_per_second`.

    `wanted` is what the request asks for; it is kept unless it makes more than `MAX_BATCHES`.
    """
    if wanted is None and devices <= ONE_STEP_A_DEVICE:
        return 1
    of_a_minute = max(1, int(calls_per_second * BATCH_SECONDS))
    return min(MAX_BATCH_SIZE, max(wanted or of_a_minute, ceil(devices / MAX_BATCHES)))
