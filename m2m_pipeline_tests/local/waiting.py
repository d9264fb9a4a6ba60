"""Waiting for a condition, and who is still alive."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil

_SECONDS = 60.0


def wait_until(condition: Callable[[], bool], what: str, seconds: float = _SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def text_of(path: Path) -> str:
    """Return what is in the file by now; empty while it does not exist."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def working_in(folder: Path) -> list[psutil.Process]:
    """Return the live processes whose working directory is the folder or below it."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            inside = Path(process.cwd()).is_relative_to(folder) and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, OSError):
            continue
        if inside:
            found.append(process)
    return found
