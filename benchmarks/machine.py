"""Where and with what was measured."""

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
import psycopg

PACKAGES = (
    *("dagster", "dagster-postgres", "httpx", "httpx-aiohttp", "aiohttp", "psycopg", "sqlalchemy", "uvicorn"),
    *("procrastinate", "dbos"),
)


def machine() -> Mapping[str, str]:
    """Cores, processor, memory, system, and how busy it is before anything is measured."""
    return {
        "cores": str(os.cpu_count()),
        "processor": _processor(),
        "memory": f"{psutil.virtual_memory().total / 1e9:.1f} GB",
        "system": f"{_system()}, kernel {platform.release()}",
        "load of the last minute": f"{os.getloadavg()[0]:.2f} processes",
    }


def versions(postgres_address: str) -> Mapping[str, str]:
    """Of everything whose speed is measured."""
    with psycopg.connect(postgres_address) as connection:
        server = connection.execute("SHOW server_version").fetchone()
        fsync = connection.execute("SHOW fsync").fetchone()
    assert server is not None
    assert fsync is not None
    return {
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
        "PostgreSQL": f"{server[0]}, fsync {fsync[0]}",
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()
