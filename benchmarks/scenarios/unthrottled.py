"""How fast a whole job is where the carrier allows all that one process can do, against a hand-written script."""

from collections.abc import Iterator
from statistics import mean

from benchmarks.measurement import Measurement
from benchmarks.rivals import Ran, run_ours, run_ours_once, run_peer
from benchmarks.stand import Stand
from benchmarks.targets import Figure

FULL_DEVICES, QUICK_DEVICES = 10_000, 1_000
FULL_PAIRS, QUICK_PAIRS = 2, 1

_NAME = "unthrottled"


def measure(stand: Stand, quick: bool) -> Iterator[Measurement]:
    """Ours, script, ours, script: what else the machine does in between falls on both."""
    devices = QUICK_DEVICES if quick else FULL_DEVICES
    run = run_ours_once if quick else run_ours
    pairs = [
        (run(stand, devices), run_peer(stand, "benchmarks.peers.script", devices))
        for _ in range(QUICK_PAIRS if quick else FULL_PAIRS)
    ]
    ratios = [ours.devices_per_second / script.devices_per_second for ours, script in pairs]
    case = f"{devices:,} devices"
    yield Measurement(_NAME, case, Figure.AGAINST_SCRIPT, mean(ratios), "", {"of each pair": ratios})
    for number, (ours, script) in enumerate(pairs, 1):
        yield from _ours(ours, f"{case}, pair {number}")
        yield Measurement(
            _NAME,
            f"{case}, pair {number}",
            "devices/s of the script",
            script.devices_per_second,
            "1/s",
            script.detail(),
        )


def _ours(ran: Ran, case: str) -> Iterator[Measurement]:
    yield Measurement(_NAME, case, Figure.DEVICES_PER_SECOND, ran.devices_per_second, "1/s", ran.detail())
    yield Measurement(_NAME, case, Figure.OWN_CPU, ran.own_cpu_ms, "ms")
    yield Measurement(_NAME, case, Figure.WAL_FSYNCS, ran.fsyncs)
    yield Measurement(_NAME, case, Figure.CALLS_A_DEVICE, ran.calls / ran.devices)
    yield Measurement(_NAME, case, "start-up of the run worker", ran.cost.startup_seconds, "s")
    with_startup = ran.devices / (ran.cost.work.seconds + ran.cost.startup_seconds)
    yield Measurement(_NAME, case, "devices/s with start-up", with_startup, "1/s")
