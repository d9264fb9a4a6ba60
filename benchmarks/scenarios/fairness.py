"""A change of 10 devices on an account on which a big one runs: how long its work takes."""

import time
from collections.abc import Iterator
from statistics import median

from benchmarks.child import Child
from benchmarks.fleet import iccids
from benchmarks.measurement import InvalidRunError, Measurement
from benchmarks.site import Account, Site, site
from benchmarks.stand import Stand
from benchmarks.targets import Figure

LIMIT = 50
IN_FLIGHT = 20
LATENCY_MS = (50.0, 300.0)
SMALL = 10
FULL_BIG, QUICK_BIG = 10_000, 1_500
FULL_REPEATS, QUICK_REPEATS = 5, 1
UNDER_WAY = 100
"""Calls of the big change before the small one comes."""

_LOOK_SECONDS = 0.1
_PATIENCE = 120.0
_NAME = "fairness"

_DEVICE_WORK = """
SELECT extract(epoch FROM max(timestamp) FILTER (WHERE dagster_event_type = 'STEP_SUCCESS'
                                                 AND step_key LIKE 'write_audit%%')
             - min(timestamp) FILTER (WHERE dagster_event_type = 'STEP_START'
                                      AND step_key LIKE 'change_devices%%'))::float8
FROM event_logs WHERE run_id = %s
"""


def measure(stand: Stand, quick: bool) -> Iterator[Measurement]:
    """Beside the big change, then alone on an account with half the limits."""
    big, repeats = (QUICK_BIG, QUICK_REPEATS) if quick else (FULL_BIG, FULL_REPEATS)
    beside = _beside(stand, big, repeats)
    half = Account(SMALL * repeats, LIMIT / 2, IN_FLIGHT // 2, LATENCY_MS)
    with site(stand, half) as here:
        here.import_devices()
        alone = [_small(here, here.worker().await_ready(), SMALL * repeat) for repeat in range(repeats)]
    detail = {"seconds beside": beside, "seconds alone": alone}
    case = f"{LIMIT}/s, {big:,} devices beside"
    yield Measurement(_NAME, case, Figure.SMALL_BESIDE_BIG, median(beside) / median(alone), "", detail)


def _beside(stand: Stand, big: int, repeats: int) -> list[float]:
    """Seconds of device work of small changes, while a big change runs; that one is not waited for."""
    with site(stand, Account(big + SMALL * repeats, LIMIT, IN_FLIGHT, LATENCY_MS)) as here:
        here.import_devices()
        submitted = here.submit(iccids(SMALL * repeats, big))
        with here.worker() as worker, here.worker() as first:
            first.await_ready()
            worker.await_ready().begin(str(submitted.id))
            _await_calls(here, worker)
            taken = [_small(here, first, 0)]
            taken += [_small(here, here.worker().await_ready(), SMALL * repeat) for repeat in range(1, repeats)]
            if not worker.running:
                raise InvalidRunError("the big change ended before the small one: nothing was shared")
    return taken


def _await_calls(here: Site, worker: Child) -> None:
    """Wait until the big change calls."""
    while here.stand.control.summary().calls < UNDER_WAY:
        if not worker.running:
            raise InvalidRunError("the big change ended before it was under way")
        time.sleep(_LOOK_SECONDS)


def _small(here: Site, worker: Child, first: int) -> float:
    """Submit a small change of the devices from `first` on and have a ready worker run it; seconds of device work."""
    with worker:
        submitted = here.submit(iccids(first, SMALL))
        worker.begin(str(submitted.id))
        work = worker.await_work(_PATIENCE)
    here.check(submitted)
    ((seconds,),) = here.dagster(_DEVICE_WORK, work.told["run_id"])
    assert isinstance(seconds, float)
    return seconds
