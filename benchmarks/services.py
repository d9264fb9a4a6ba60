"""The platform's services as an operator starts them: `m2m up --json` in a state directory of its own."""

import os
import select
import signal
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.launching import start
from benchmarks.measurement import InvalidRunError
from benchmarks.sql import rows
from benchmarks.stand import PROJECT
from m2m_pipeline.bootstrap import Application, build
from m2m_pipeline.local.children import end_group, tail
from m2m_pipeline.local.state import running_services
from m2m_pipeline.settings import load_settings
from m2m_pipeline.simulator.client import SimulatorControl

_START_SECONDS, _STOP_SECONDS = 180.0, 60.0
_COMMAND = "from m2m_pipeline.cli import main; main()"


@dataclass(frozen=True, slots=True)
class Services:
    """The running services, and the application in this process beside them."""

    application: Application
    control: SimulatorControl
    carrier_url: str
    database_url: str
    dagster_database_url: str

    def business(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """Read our tables."""
        return rows(self.database_url, statement, *parameters)

    def dagster(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """Read Dagster's tables."""
        return rows(self.dagster_database_url, statement, *parameters)


@contextmanager
def services() -> Generator[Services]:
    """The services, ready, as long as the context lasts. Raises InvalidRunError if they do not become ready."""
    with tempfile.TemporaryDirectory(prefix="m2m-bench-") as folder, _up(Path(folder)) as state:
        running = running_services(state)
        assert running is not None
        assert running.addresses.simulator_url is not None
        application = build(load_settings(running.environment))
        try:
            with SimulatorControl(running.addresses.simulator_url) as control:
                yield Services(
                    application,
                    control,
                    running.addresses.simulator_url,
                    running.environment["M2M_DATABASE_URL"],
                    running.environment["M2M_DAGSTER_DATABASE_URL"],
                )
        finally:
            application.close()


@contextmanager
def _up(folder: Path) -> Generator[Path]:
    state, log = folder / "state", folder / "up.log"
    # What is shipped is measured: no setting of whoever runs the benchmark gets in.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("M2M_")}
    with start(
        ["-c", _COMMAND, "up", "--json"],
        log=log,
        environment={**environment, "M2M_STATE_DIR": str(state)},
        death_signal=signal.SIGTERM,
        cwd=PROJECT,
    ) as process:
        assert process.stdout is not None
        try:
            readable, _, _ = select.select([process.stdout], [], [], _START_SECONDS)
            if not (readable and process.stdout.readline()):
                raise InvalidRunError(f"m2m up did not become ready in {_START_SECONDS:g} s:\n{tail(log)}")
            yield state
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_SECONDS)
            finally:
                end_group(process)
