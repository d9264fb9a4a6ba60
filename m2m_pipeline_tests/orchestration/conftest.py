"""Dagster in this process: the job and the sensor against a fresh database and a simulated carrier."""

from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path

import dagster as dg
import pytest

from m2m_pipeline.orchestration import sweeping
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline.services.audit.signing import generate
from m2m_pipeline.simulator.client import SimulatorControl
from m2m_pipeline_tests.orchestration.location import build
from m2m_pipeline_tests.world import Options, World, simulator_process


def pytest_configure(config: pytest.Config) -> None:
    """Let pass what Dagster does by itself; everything else stays an error."""
    for allowed in (
        # with a resource that has no field
        "ignore:The `__fields__` attribute is deprecated:pydantic.warnings.PydanticDeprecatedSince20",
        # where it attaches a job to its sensor: it hands its own beta parameter on
        "ignore:Parameter `owners` of initializer:dagster_shared.utils.warnings.BetaWarning",
    ):
        config.addinivalue_line("filterwarnings", allowed)


@pytest.fixture(scope="session")
def carrier_url() -> Generator[str]:
    with simulator_process() as url:
        yield url


@pytest.fixture
def make_world(
    carrier_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Generator[Callable[[Options], World]]:
    """A world, and the environment in which a process of Dagster finds it."""
    with ExitStack() as stack:

        def make(options: Options) -> World:
            control = stack.enter_context(SimulatorControl(carrier_url))
            world = World(control, carrier_url, database_url, options)
            stack.callback(world.close)
            monkeypatch.setenv("M2M_DATABASE_URL", database_url)
            monkeypatch.setenv("M2M_ENCRYPTION_KEYS", world.key)
            monkeypatch.setenv("M2M_SETTLE_SECONDS", str(options.settle))
            monkeypatch.setenv("M2M_ATTEMPT_PAUSE_SECONDS", str(options.pause))
            monkeypatch.setenv("M2M_OUTAGE_PATIENCE_SECONDS", str(options.patience))
            return world

        yield make


@pytest.fixture
def world(make_world: Callable[[Options], World]) -> World:
    """The ordinary world: three devices."""
    return make_world(Options())


@pytest.fixture
def instance() -> Generator[dg.DagsterInstance]:
    """Dagster's records, kept in memory."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def platform() -> Generator[Platform]:
    """The services as a step gets them."""
    platform = Platform()
    yield platform
    with dg.build_init_resource_context() as context:
        platform.teardown_after_execution(context)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the runs had begun long ago."""
    now = sweeping.time.time()
    monkeypatch.setattr(sweeping.time, "time", lambda: now + 3600)


@pytest.fixture
def definitions(world: World) -> dg.Definitions:
    assert world
    return build()


@pytest.fixture
def digests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where digests go."""
    secret, _ = generate()
    monkeypatch.setenv("M2M_AUDIT_DIGEST_TARGET", str(tmp_path / "digests"))
    monkeypatch.setenv("M2M_AUDIT_SIGNING_KEY", secret)
    return tmp_path / "digests"
