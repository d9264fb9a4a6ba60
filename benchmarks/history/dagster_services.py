"""The webserver and the daemon of Dagster, as `m2m up` starts them."""

import signal
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from benchmarks.launching import start
from benchmarks.measurement import InvalidRunError
from benchmarks.stand import PROJECT
from m2m_pipeline.local.children import end_group, tail
from m2m_pipeline.local.ports import free_port

READY_SECONDS, STOP_SECONDS, LOOK_SECONDS = 120.0, 60.0, 0.2
_WORKSPACE = str(PROJECT / "workspace.yaml")


@contextmanager
def webserver(environment: Mapping[str, str], log: Path) -> Generator[str]:
    """The address of a webserver that is ready. Raises InvalidRunError if it does not become so."""
    port = free_port()
    module = ["dagster_webserver", "-h", "127.0.0.1", "-p", str(port), "-w", _WORKSPACE]
    url = f"http://127.0.0.1:{port}"
    with _running(module, environment, log):
        deadline = time.monotonic() + READY_SECONDS
        while not _answers(url):
            if time.monotonic() > deadline:
                raise InvalidRunError(f"dagster-webserver: not ready in {READY_SECONDS:g} s:\n{tail(log)}")
            time.sleep(LOOK_SECONDS)
        yield url


@contextmanager
def daemon(environment: Mapping[str, str], log: Path) -> Generator[None]:
    """The daemon, begun; at the end it finishes its ticks."""
    with _running(["dagster._daemon", "run", "-w", _WORKSPACE], environment, log) as process:
        yield
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_SECONDS)


@contextmanager
def _running(module: list[str], environment: Mapping[str, str], log: Path) -> Generator[subprocess.Popen[bytes]]:
    arguments = ["-m", *module]
    died = signal.SIGTERM
    with start(arguments, log=log, environment=environment, death_signal=died, cwd=PROJECT, talks=False) as process:
        try:
            yield process
        finally:
            end_group(process)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/server_info", timeout=60, trust_env=False).is_success
    except httpx.HTTPError:
        return False
