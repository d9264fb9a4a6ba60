"""Everything that one simulator process holds, and what a fresh start of it is."""

import random
import time
from email.utils import formatdate

from m2m_pipeline.simulator.admission import Admission
from m2m_pipeline.simulator.carrier import Carrier
from m2m_pipeline.simulator.documents import Latency, World
from m2m_pipeline.simulator.rules import Rules


class Simulation:
    """The carrier, its gate, the scenarios in force and the latency."""

    def __init__(self, world: World, latency: Latency, seed: int) -> None:
        self.latency = latency
        self._jitter = random.Random(seed)  # noqa: S311 -- reproducible, not secret
        self.replace_world(world)

    def replace_world(self, world: World) -> None:
        """Start over with another world: no scenario in force, an empty ledger."""
        self.carrier = Carrier(world)
        self.admission = Admission(world.accounts)
        self.rules = Rules()

    def reset(self) -> None:
        """Empty the ledger and end all scenarios; devices and limits stay as they are."""
        self.carrier.begin_ledger()
        self.rules.clear()

    def draw_latency_s(self) -> float:
        """Seconds that the next call takes."""
        if not self.latency.high_ms:
            return 0.0
        return self._jitter.uniform(self.latency.low_ms, self.latency.high_ms) / 1000

    def date(self) -> str:
        """The Date header of an answer that leaves now."""
        return formatdate(time.time() + self.rules.skew_ms(told=True) / 1000, usegmt=True)

    def set_clock(self) -> None:
        """Let the carrier's clock show what the scenarios in force make of it, and do what has become due."""
        self.carrier.skew_ms = self.rules.skew_ms()
        self.carrier.settle()
