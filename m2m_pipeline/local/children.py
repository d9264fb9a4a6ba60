"""Child processes that do not outlive us."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from m2m_pipeline.local import launch

_TAIL_BYTES = 4_000


def spawn(
    arguments: Sequence[str],
    *,
    cwd: Path,
    log: BinaryIO,
    death_signal: signal.Signals,
    environment: Mapping[str, str] | None = None,
    uid: int | None = None,
    fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a program (by its full path) in a session of its own, its output going to `log`.

    `death_signal` reaches it when the thread that called this ends, even by SIGKILL. `environment` and `uid` are ours
    unless given. A program that cannot be executed ends with status 1 and a line in the log. Raises OSError.
    """
    user = os.geteuid() if uid is None else uid
    launcher = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), str(int(death_signal)), str(user)]
    return subprocess.Popen(
        [*launcher, *arguments],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        pass_fds=fds,
        # Ctrl-C in the terminal is for us: we end the children in the right order.
        start_new_session=True,
    )


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a child's process group, and reap the child."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def tail(log: Path, start: int = 0) -> str:
    """Return the last 4,000 bytes of a log at most, from byte `start` on; empty if it cannot be read."""
    try:
        with log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(start, end - _TAIL_BYTES))
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""
