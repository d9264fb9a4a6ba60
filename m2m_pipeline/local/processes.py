"""Services that are started, watched, started again when they die, and ended with everything that they started."""

import queue
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

import psutil

from m2m_pipeline.local import leftovers
from m2m_pipeline.local.children import end_group, spawn
from m2m_pipeline.local.errors import LocalServiceError

_LOOK_SECONDS = 0.1
_STOP_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_STEADY_SECONDS = 60.0


class Service(Protocol):
    """What the supervisor keeps alive. All methods are called from one thread."""

    @property
    def name(self) -> str:
        """The name in messages."""
        ...

    @property
    def log(self) -> Path:
        """Where it writes."""
        ...

    def start(self) -> None:
        """Start it, also again after its end. Raises LocalServiceError or OSError."""
        ...

    def stop(self) -> None:
        """End it with all that it started, within bounded time. Harmless when it has ended."""
        ...

    def exit_status(self) -> int | None:
        """Return None while it runs, else its exit status (negative: the signal that ended it)."""
        ...


class ChildProcess:
    """A program as a service. Its output goes to the end of `log`; `mark` names all of its descendants."""

    def __init__(
        self, name: str, arguments: Sequence[str], *, cwd: Path, log: Path, environment: Mapping[str, str], mark: str
    ) -> None:
        self.name = name
        self.log = log
        self._arguments = arguments
        self._cwd = cwd
        self._mark = f"{mark}:{name}"
        self._environment = {**environment, leftovers.VARIABLE: self._mark}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the program. What an earlier start left running (a run, say) goes on. Raises OSError."""
        with self.log.open("ab") as log:
            self._process = spawn(
                self._arguments, cwd=self._cwd, log=log, death_signal=signal.SIGTERM, environment=self._environment
            )

    def stop(self) -> None:
        """End the program and its descendants: SIGTERM, SIGKILL for those that need more than 10 s.

        All at once: a run would go on with its calls for as long as its daemon takes to end. It has time to wait for
        those under way, to commit what is known, and to give up its lease.
        """
        if self._process is None:
            return
        leftovers.end_marked(self._mark, _STOP_SECONDS)
        end_group(self._process)

    def exit_status(self) -> int | None:
        """Return None while it runs, else its exit status (negative: the signal that ended it)."""
        return self._process.poll() if self._process else None

    def listens_on(self, port: int) -> bool:
        """Tell whether this very process listens on the TCP port: an answer from there may be another's."""
        if self._process is None:
            return False
        try:
            sockets = psutil.Process(self._process.pid).net_connections("tcp")
        except psutil.Error:
            return False
        return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in sockets)


@dataclass(slots=True)
class _Supervised:
    service: Service
    started: float = field(default_factory=time.monotonic)
    pause: float = _FIRST_PAUSE_SECONDS
    due: float | None = None


class Supervisor:
    """Keeps services alive from one thread of its own, which lives until `stop` and so outlives their death signal.

    When this process is killed, a watchdog ends what the services had started.
    """

    def __init__(self) -> None:
        self.mark = secrets.token_hex(8)
        self.deaths: list[tuple[Service, str]] = []
        """The services that ended by themselves, each time with a sentence about it."""
        self._supervised: list[_Supervised] = []
        self._requests: queue.SimpleQueue[tuple[Service, Future[None]]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="supervisor", daemon=True)
        self._watchdog = self._start_watchdog()
        self._thread.start()

    def __enter__(self) -> Self:
        """Return itself; it works already."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """End all services."""
        self.stop()

    def start(self, service: Service) -> Future[None]:
        """Start a service and keep it alive; the future is done when its `start` is, or holds what that raised."""
        started: Future[None] = Future()
        self._requests.put((service, started))
        return started

    def stop(self) -> None:
        """End all services, the last started first, and return when none of their processes is left."""
        self._stopping.set()
        self._thread.join()

    def _keep(self) -> None:
        with ExitStack() as ending:
            ending.callback(self._dismiss_watchdog)
            while not self._stopping.is_set():
                try:
                    service, started = self._requests.get(timeout=_LOOK_SECONDS)
                except queue.Empty:
                    self._revive()
                    continue
                ending.callback(service.stop)
                try:
                    service.start()
                except Exception as error:  # noqa: BLE001 - the caller's, through the future
                    started.set_exception(error)
                else:
                    self._supervised.append(_Supervised(service))
                    started.set_result(None)

    def _revive(self) -> None:
        if self._watchdog.poll() is not None:
            self._dismiss_watchdog()
            self._watchdog = self._start_watchdog()
        now = time.monotonic()
        for one in self._supervised:
            if one.due is None and (status := one.service.exit_status()) is not None:
                if now - one.started > _STEADY_SECONDS:
                    one.pause = _FIRST_PAUSE_SECONDS
                self._report(one, f"ended with {_meaning(status)}")
            elif one.due is not None and now >= one.due:
                self._restart(one)

    def _restart(self, one: _Supervised) -> None:
        try:
            one.service.start()
        except (LocalServiceError, OSError) as error:
            self._report(one, f"did not start: {error}")
        else:
            one.started, one.due = time.monotonic(), None

    def _report(self, one: _Supervised, event: str) -> None:
        one.due = time.monotonic() + one.pause
        death = f"{one.service.name}: {event}; started again in {one.pause:g} s; its log is {one.service.log}"
        self.deaths.append((one.service, death))
        sys.stderr.write(death + "\n")
        one.pause = min(one.pause * 2, _LONGEST_PAUSE_SECONDS)

    def _start_watchdog(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", leftovers.__file__, self.mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            # Whoever reads our output must not wait for the watchdog to close it.
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )

    def _dismiss_watchdog(self) -> None:
        with suppress(BrokenPipeError):
            self._watchdog.communicate(leftovers.FAREWELL)


def _meaning(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
