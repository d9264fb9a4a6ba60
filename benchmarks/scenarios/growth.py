"""What a device costs in small and in large bulk changes: time, memory, rows in Dagster's event log.

And what Dagster takes for the steps alone: no run of any size is over in less.
"""

from collections.abc import Iterator

from benchmarks.measurement import Measurement
from benchmarks.rivals import Ran, run_bare_steps, run_ours, run_ours_once
from benchmarks.stand import Stand
from benchmarks.targets import Figure

FULL_SIZES, QUICK_SIZES = (1_000, 10_000, 100_000), (1_000, 5_000)

_NAME = "growth"


def measure(stand: Stand, quick: bool) -> Iterator[Measurement]:
    """Each size once, the smallest first: the others are held against it."""
    run = run_ours_once if quick else run_ours
    yield Measurement(_NAME, "no device", "our steps with nothing in them", run_bare_steps(stand).work.seconds, "s")
    first: Ran | None = None
    for size in QUICK_SIZES if quick else FULL_SIZES:
        ran = run(stand, size)
        yield from _alone(ran)
        if first is not None:
            yield from _beside(ran, first)
        first = first or ran


def _alone(ran: Ran) -> Iterator[Measurement]:
    case = _case(ran)
    yield Measurement(_NAME, case, Figure.PEAK_RSS, ran.cost.work.peak_rss_mb, "MB", ran.detail())
    yield Measurement(_NAME, case, "Dagster event rows", ran.event_rows, "", {"batches": ran.batches})
    yield Measurement(_NAME, case, "submission", ran.submitted_seconds, "s")
    yield Measurement(_NAME, case, "inventory import", ran.imported_seconds, "s")
    yield Measurement(_NAME, case, "time a device", 1000 / ran.devices_per_second, "ms")


def _beside(ran: Ran, first: Ran) -> Iterator[Measurement]:
    case = _case(ran)
    drift = abs(first.devices_per_second / ran.devices_per_second - 1)
    yield Measurement(_NAME, case, Figure.TIME_DRIFT, drift)
    further = (ran.cost.work.seconds - first.cost.work.seconds) / (ran.devices - first.devices)
    yield Measurement(_NAME, case, "time for each further device", further * 1000, "ms")
    rows = (ran.event_rows - first.event_rows) / (ran.batches - first.batches)
    yield Measurement(_NAME, case, Figure.EVENT_ROWS, rows)
    rss = ran.cost.work.peak_rss_mb - first.cost.work.peak_rss_mb
    yield Measurement(_NAME, case, Figure.RSS_GROWTH, rss, "MB")


def _case(ran: Ran) -> str:
    return f"{ran.devices:,} devices"
