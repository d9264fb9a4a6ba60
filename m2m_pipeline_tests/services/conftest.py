"""One simulator process for each worker; a world of its own for each test."""

from collections.abc import Generator
from contextlib import ExitStack
from typing import Protocol

import pytest
from hypothesis import settings

from m2m_pipeline.domain.carrier import Carriers
from m2m_pipeline.services import paced
from m2m_pipeline.services.execution import abandoned
from m2m_pipeline.simulator.client import SimulatorControl
from m2m_pipeline.storage import gate
from m2m_pipeline_tests.world import Options, World, simulator_process

# On a busy machine an example may take its time.
settings.register_profile("m2m", deadline=None, database=None)
settings.load_profile("m2m")


class MakeWorld(Protocol):
    """Makes the test's world."""

    def __call__(self, options: Options | None = None, carriers: Carriers | None = None) -> World: ...


@pytest.fixture(scope="session")
def carrier_url() -> Generator[str]:
    with simulator_process() as url:
        yield url


@pytest.fixture(scope="session")
def shared_control(carrier_url: str) -> Generator[SimulatorControl]:
    with SimulatorControl(carrier_url) as control:
        yield control


@pytest.fixture
def make_world(carrier_url: str, shared_control: SimulatorControl, database_url: str) -> Generator[MakeWorld]:
    """A world as the test wants it."""
    with ExitStack() as stack:

        def make(options: Options | None = None, carriers: Carriers | None = None) -> World:
            shared_control.set_latency(0, 0)
            world = World(shared_control, carrier_url, database_url, options or Options(), carriers)
            stack.callback(world.close)
            return world

        yield make


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """The ordinary world: three devices."""
    return make_world()


@pytest.fixture
def quick_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that failed is said again at once: the pause is no setting, and too long for a test."""
    monkeypatch.setattr(paced, "READ_BACKOFF_SECONDS", 0.01)


@pytest.fixture
def quick_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent call, for which nobody waits that long here, is over, and its place free, in a time to be waited for."""
    monkeypatch.setattr(gate, "CALL_ENDS_SECONDS", 3.0)
    monkeypatch.setattr(abandoned, "LEAVES_WITHIN_SECONDS", 1.0)
