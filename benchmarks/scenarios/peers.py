"""Against what else one would build it with. A peer gets as many devices as it moves in a bearable time."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.measurement import Measurement
from benchmarks.rivals import run_ours, run_ours_once, run_peer
from benchmarks.stand import Stand
from benchmarks.targets import Figure

FULL_DEVICES, QUICK_DEVICES = 10_000, 1_000
"""Of ours, beside each peer."""

_NAME = "peers"


@dataclass(frozen=True, slots=True)
class Peer:
    """A way to do it, and how many devices it is given."""

    title: str
    module: str
    figure: Figure
    devices: int
    quick_devices: int


PEERS = (
    Peer("mapped steps", "benchmarks.peers.mapped_steps", Figure.AGAINST_MAPPED_STEPS, 50, 20),
    Peer("procrastinate", "benchmarks.peers.with_procrastinate", Figure.AGAINST_PROCRASTINATE, 1_000, 300),
    Peer("dbos", "benchmarks.peers.with_dbos", Figure.AGAINST_DBOS, 300, 60),
)


def measure(stand: Stand, quick: bool) -> Iterator[Measurement]:
    """Ours before each peer, so that both meet the same machine."""
    for peer in PEERS:
        ours = run_ours_once(stand, QUICK_DEVICES) if quick else run_ours(stand, FULL_DEVICES)
        theirs = run_peer(stand, peer.module, peer.quick_devices if quick else peer.devices)
        case = f"{theirs.devices:,} devices"
        ratio = ours.devices_per_second / theirs.devices_per_second
        yield Measurement(_NAME, case, peer.figure, ratio, "", {"ours": ours.detail()})
        title = f"devices/s of {peer.title}"
        yield Measurement(_NAME, case, title, theirs.devices_per_second, "1/s", theirs.detail())
