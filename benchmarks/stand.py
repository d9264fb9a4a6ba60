"""The test stand: a PostgreSQL server with fsync on and a carrier simulator, for all measurements of a run."""

import os
import secrets
import shutil
import signal
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from pydantic import BaseModel

from benchmarks.child import Child
from benchmarks.fleet import carrier_world
from benchmarks.launching import start
from benchmarks.measurement import InvalidRunError
from benchmarks.meters import Meters, Reading
from benchmarks.protocol import Work
from benchmarks.sql import plain
from m2m_pipeline.local.children import end_group
from m2m_pipeline.local.postgres import EmbeddedPostgres
from m2m_pipeline.simulator.client import SimulatorControl
from m2m_pipeline.storage.migrate import upgrade

PROJECT = Path(__file__).parent.parent
_BUSINESS, _DAGSTER = "template_m2m", "template_dagster"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one measured process did, what it took to come so far, and what the servers spent on it meanwhile."""

    work: Work
    startup_seconds: float
    startup_cpu_seconds: float
    servers: Reading


class Stand:
    """The servers; databases are made anew for each measurement, so that none pays for the rows of another."""

    def __init__(self, postgres: EmbeddedPostgres, carrier: "CarrierProcess", folder: Path) -> None:
        self.postgres = postgres
        self.carrier_url = carrier.url
        self.control = carrier.control
        self.folder = folder
        assert postgres.pid is not None
        self._meters = Meters(plain(postgres.url("postgres")), postgres.pid, carrier.pid)

    def carrier(self, devices: int, latency_ms: tuple[float, float]) -> None:
        """Start the carrier over with so many SIMs on the old plan, an empty ledger, and this latency."""
        self.control.replace_world(carrier_world(devices))
        self.control.set_latency(*latency_ms)

    def databases(self) -> dict[str, str]:
        """Fresh databases, ours and Dagster's, as the environment of a process that uses them."""
        name = secrets.token_hex(4)
        self.postgres.create_database(f"m2m_{name}", _BUSINESS)
        self.postgres.create_database(f"dagster_{name}", _DAGSTER)
        return {
            "M2M_DATABASE_URL": self.postgres.url(f"m2m_{name}"),
            "M2M_DAGSTER_DATABASE_URL": self.postgres.dagster_url(f"dagster_{name}"),
            "DAGSTER_HOME": str(self.folder / "dagster"),
            "DAGSTER_DISABLE_TELEMETRY": "1",
        }

    def database(self) -> str:
        """A fresh, empty database."""
        name = f"peer_{secrets.token_hex(4)}"
        self.postgres.create_database(name)
        return plain(self.postgres.url(name))

    def child(self, module: str, argument: str, environment: Mapping[str, str]) -> Child:
        """A measured process; its log is named after its module."""
        return Child(module, argument, environment, self.folder / f"{module.rpartition('.')[2]}.log")

    def cost(self, children: Sequence[Child], orders: Sequence[str], patience: float) -> list[Cost]:
        """Give all children their orders at once, and wait for all; the servers' share is that of all together."""
        before = self._meters.read()
        for child, order in zip(children, orders, strict=True):
            child.begin(order)
        works = [child.await_work(patience) for child in children]
        servers = self._meters.read() - before
        return [
            Cost(work, child.startup_seconds, child.startup_cpu_seconds, servers)
            for child, work in zip(children, works, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class CarrierProcess:
    """A running simulator."""

    url: str
    control: SimulatorControl
    pid: int


@contextmanager
def stand(folder: Path) -> Generator[Stand]:
    """The servers, as long as the context lasts."""
    with ExitStack() as stack:
        carrier = stack.enter_context(_simulator(folder / "simulator.log"))
        postgres = stack.enter_context(EmbeddedPostgres(folder / "postgres", durable=True))
        _make_templates(postgres, folder / "dagster")
        yield Stand(postgres, carrier, folder)


def _make_templates(postgres: EmbeddedPostgres, home: Path) -> None:
    for name in (_BUSINESS, _DAGSTER):
        postgres.create_database(name)
    upgrade(postgres.url(_BUSINESS))
    home.mkdir()
    shutil.copyfile(PROJECT / "dagster.yaml", home / "dagster.yaml")
    os.environ["M2M_DAGSTER_DATABASE_URL"] = postgres.dagster_url(_DAGSTER)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.get_runs_count()  # touched, it makes its tables


class _Announced(BaseModel):
    simulator_url: str


@contextmanager
def _simulator(log: Path) -> Generator[CarrierProcess]:
    module = ["-m", "m2m_pipeline.simulator"]
    with start(module, log=log, environment=os.environ, death_signal=signal.SIGTERM) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise InvalidRunError(f"the carrier simulator did not start; see {log}")
            url = _Announced.model_validate_json(line).simulator_url
            with SimulatorControl(url) as control:
                yield CarrierProcess(url, control, process.pid)
        finally:
            end_group(process)
