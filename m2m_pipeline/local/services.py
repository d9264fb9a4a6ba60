"""`m2m up`: everything that the platform needs, on one machine, started and ended together."""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx

import m2m_pipeline
from m2m_pipeline.local.children import tail
from m2m_pipeline.local.databases import Databases, embedded_databases, external_databases
from m2m_pipeline.local.errors import LocalServiceError
from m2m_pipeline.local.ports import LOOPBACK, free_port
from m2m_pipeline.local.postgres import EmbeddedPostgres
from m2m_pipeline.local.processes import ChildProcess, Supervisor
from m2m_pipeline.local.readiness import missing_at_daemon, missing_at_server
from m2m_pipeline.local.signals import StopRequested, StopSignals
from m2m_pipeline.local.state import Addresses, RunningServices, development_digests, encryption_keys, exclusive

_READY_SECONDS = 180.0
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalOptions:
    """What to run, and where to keep it."""

    state_dir: Path
    simulator_arguments: Sequence[str] | None = ()
    """Of `python -m m2m_pipeline.simulator`, beyond the address; None runs no simulator."""
    durable: bool = True
    """False (demo, tests): quicker, but a crash of the machine loses the embedded database."""


class LocalServices:
    """PostgreSQL (unless M2M_DATABASE_URL names one), the simulator, Dagster and the HTTP API.

    A context manager: inside, all are ready, and a dead one is started again; afterwards no process is left, nor if
    this process is killed. Entering raises LocalServiceError when one is not ready in time, with the end of its log.
    """

    def __init__(self, options: LocalOptions) -> None:
        self._options = options
        self._state = options.state_dir.absolute()
        self._running: RunningServices | None = None
        self._ending = ExitStack()

    @property
    def addresses(self) -> Addresses:
        """Where the services are. Raises LocalServiceError outside the context."""
        return self._entered().addresses

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which other processes use the services. Raises LocalServiceError outside the context."""
        return self._entered().environment

    def __enter__(self) -> Self:
        """Start all services and return when they are ready."""
        with ExitStack() as ending:
            ending.enter_context(exclusive(self._state))
            supervisor = ending.enter_context(Supervisor())
            with httpx.Client(timeout=10, trust_env=False) as client:
                running = _Start(self._options, self._state, supervisor, client).run()
            running.write(self._state)
            self._running = running
            self._ending = ending.pop_all()
        return self

    def __exit__(self, *_exception: object) -> None:
        """End all services."""
        self._running = None
        self._ending.close()

    def _entered(self) -> RunningServices:
        if self._running is None:
            raise LocalServiceError(f"services of {self._state}: they do not run now: use `with LocalServices(...)`")
        return self._running


class _Start:
    """One start of all services, as parallel as their needs allow."""

    def __init__(self, options: LocalOptions, state: Path, supervisor: Supervisor, client: httpx.Client) -> None:
        self._options = options
        self._state = state
        self._supervisor = supervisor
        self._client = client
        self._questions: dict[str, Callable[[], str | None]] = {}
        self._began = time.time()
        self._deadline = time.monotonic() + _READY_SECONDS
        self._workspace = _project_file("workspace.yaml")
        self._home = state / "dagster"
        self._logs = state / "logs"

    def run(self) -> RunningServices:
        self._home.mkdir(mode=0o700, exist_ok=True)
        self._logs.mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(_project_file("dagster.yaml"), self._home / "dagster.yaml")
        simulator_url = self._start_simulator()
        databases = self._start_database()
        environment = {
            "M2M_STATE_DIR": str(self._state),
            "M2M_DATABASE_URL": databases.business,
            "M2M_DAGSTER_DATABASE_URL": databases.dagster,
            "M2M_ENCRYPTION_KEYS": encryption_keys(self._state),
            **development_digests(self._state),
            "DAGSTER_HOME": str(self._home),
            "DAGSTER_DISABLE_TELEMETRY": "1",
        }
        dagster_port = free_port(str(self._state))  # a bookmark in the browser holds
        api_port = free_port(f"{self._state} api")
        # What Dagster shows links there. Not published: `m2m serve` at another port would refuse its own page's forms.
        linked = {
            **environment,
            "M2M_PUBLIC_URL": f"http://{LOOPBACK}:{api_port}",
            "M2M_DAGSTER_URL": f"http://{LOOPBACK}:{dagster_port}",
        }
        dagster_url = self._start_webserver(linked, dagster_port)
        from m2m_pipeline.storage.migrate import upgrade  # noqa: PLC0415 - in the time that the webserver needs

        upgrade(databases.business)
        # Whoever is on this machine may read the state directory, too: signing in would guard nothing.
        api_url = self._start_api({"M2M_DEV_SIGN_IN": "true", **environment, "M2M_DAGSTER_URL": dagster_url}, api_port)
        self._start_daemon(linked, dagster_url)
        self._await_readiness()
        addresses = Addresses(databases.business, dagster_url, api_url, simulator_url)
        return RunningServices(os.getpid(), addresses, environment)

    def _start_database(self) -> Databases:
        if url := os.environ.get("M2M_DATABASE_URL"):
            return external_databases(url)
        server = EmbeddedPostgres(self._state / "postgres", durable=self._options.durable)
        self._supervisor.start(server).result()
        return embedded_databases(server)

    def _start_simulator(self) -> str | None:
        if self._options.simulator_arguments is None:
            return None
        port = free_port()  # chosen here: after a crash it comes back where its clients look for it
        address = ["--host", LOOPBACK, "--port", str(port)]
        module = ["m2m_pipeline.simulator", *address, *self._options.simulator_arguments]
        process = self._start_module("simulator", module, {})
        url = httpx.URL(scheme="http", host=LOOPBACK, port=port)
        self._questions["simulator"] = lambda: missing_at_server(self._client, process, url)
        return str(url)

    def _start_webserver(self, environment: dict[str, str], port: int) -> str:
        module = ["dagster_webserver", "-h", LOOPBACK, "-p", str(port), "-w", str(self._workspace)]
        process = self._start_module("dagster-webserver", module, environment)
        url = httpx.URL(scheme="http", host=LOOPBACK, port=port)
        self._questions["dagster-webserver"] = lambda: missing_at_server(
            self._client, process, url.copy_with(path="/server_info")
        )
        return str(url)

    def _start_api(self, environment: dict[str, str], port: int) -> str:
        module = ["m2m_pipeline.cli", "serve", "--host", LOOPBACK, "--port", str(port)]
        process = self._start_module("api", module, environment)
        url = httpx.URL(scheme="http", host=LOOPBACK, port=port)
        self._questions["api"] = lambda: missing_at_server(self._client, process, url.copy_with(path="/readyz"))
        return str(url)

    def _start_daemon(self, environment: dict[str, str], dagster_url: str) -> None:
        module = ["dagster._daemon", "run", "-w", str(self._workspace)]
        self._start_module("dagster-daemon", module, environment)
        self._questions["dagster-daemon"] = lambda: missing_at_daemon(self._client, dagster_url, self._began)

    def _start_module(self, name: str, module: Sequence[str], environment: dict[str, str]) -> ChildProcess:
        log = self._log(name)
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        process = ChildProcess(
            name,
            [sys.executable, "-m", *module],
            cwd=self._workspace.parent,
            log=log,
            environment={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
            mark=self._supervisor.mark,
        )
        self._supervisor.start(process).result()
        return process

    def _await_readiness(self) -> None:
        for name, missing in self._questions.items():
            while (reason := missing()) is not None:
                if self._supervisor.deaths:
                    service, sentence = self._supervisor.deaths[0]
                    raise LocalServiceError(f"{sentence}; the end of it:\n{tail(service.log)}")
                if time.monotonic() > self._deadline:
                    log = self._log(name)
                    raise LocalServiceError(
                        f"{name}: not ready after {_READY_SECONDS:g} s ({reason}); the end of {log}:\n{tail(log)}"
                    )
                time.sleep(_LOOK_SECONDS)

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"


def up(options: LocalOptions, *, json_output: bool = False) -> None:
    """Run the services in the foreground until SIGINT or SIGTERM, then end them all; for the main thread.

    When all are ready prints their addresses, as one line of JSON if `json_output`.
    Raises LocalServiceError if one does not become ready, or if the services of this state directory run already.
    """
    signals = StopSignals()
    try:
        with LocalServices(options) as services:
            addresses = services.addresses.as_dict()
            if json_output:
                text = json.dumps(addresses)
            else:
                text = "\n".join(f"{name:14} {url}" for name, url in addresses.items())
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
            while not signals.received:
                time.sleep(_LOOK_SECONDS)
    except StopRequested:
        pass


def _project_file(name: str) -> Path:
    candidates = [Path.cwd() / name, Path(m2m_pipeline.__file__).parent.parent / name]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    raise LocalServiceError(
        f"{name}: neither {candidates[0]} nor {candidates[1]} exists: run it in the project's root directory"
    )
