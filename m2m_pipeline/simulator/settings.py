"""What one simulator process is started with."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """Everything else (limits, scenarios, another world) is changed over the control API while it runs."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 lets the system choose; the line printed at the start names the port."""
    world: Path | None = None
    """A world document (`documents.World`) in JSON; without it a small built-in account and its plans."""
    devices: int = 0
    """How many devices to generate in addition to those of the world file."""
    seed: int = 0
    """Decides the generated devices and the jitter of the latency."""
    latency_ms: tuple[float, float] = (0.0, 0.0)
    """Every carrier call takes between the first and the second number of milliseconds, uniformly."""
    calls_per_second: int | None = None
    """Limit of the built-in account; a world file states its accounts' own limits."""
    in_flight: int | None = None
    """Like calls_per_second, for calls open at the same time."""
