"""Processes that descend from ours, wherever in the process tree they are now, and their end.

Dagster's daemon starts code servers, which start runs; a crash in the middle orphans the rest. What they all keep is
their environment: a variable in it, unique to the supervisor, names them.

Run by path (`python -I -S leftovers.py MARK`) this is the watchdog, which survives the supervisor's SIGKILL and does
what the supervisor can no longer do.
"""

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

VARIABLE = "M2M_SUPERVISED_BY"
FAREWELL = b"done"
"""What the supervisor sends its watchdog when there is nothing left to end."""

# With its database gone, a run would wait longer in vain.
_GRACE_SECONDS = 5.0
_LAST_SECONDS = 10.0
_LOOK_SECONDS = 0.05
_EMPTY_LOOKS = 2


def marked(mark: str) -> list[int]:
    """Return the ids of the live processes whose mark begins with `mark`; only those of our user are visible."""
    wanted = f"{VARIABLE}={mark}".encode()
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):  # ended meanwhile, or another user's
            if any(line.startswith(wanted) for line in (entry / "environ").read_bytes().split(b"\0")):
                found.append(int(entry.name))
    return found


def end_marked(mark: str, grace_seconds: float = _GRACE_SECONDS) -> None:
    """Ask the processes marked with `mark` to end, wait, and kill those that did not; return when none is left.

    Gives up on what the kernel does not end within 10 s of SIGKILL (a process waiting for a dead disk).
    """
    _signal(marked(mark), signal.SIGTERM)
    start = time.monotonic()
    empty_looks = 0
    # Twice: a process that is just becoming another program has no environment for a moment.
    while empty_looks < _EMPTY_LOOKS and (waited := time.monotonic() - start) < grace_seconds + _LAST_SECONDS:
        pids = marked(mark)
        empty_looks = 0 if pids else empty_looks + 1
        if waited > grace_seconds:
            # Again and again: one of them may be starting another.
            _signal(pids, signal.SIGKILL)
        time.sleep(_LOOK_SECONDS)


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def main(arguments: list[str]) -> None:
    """Wait until the supervisor says farewell or is gone; if it is gone, end what it started."""
    if sys.stdin.buffer.read() != FAREWELL:
        end_marked(arguments[0])


if __name__ == "__main__":
    main(sys.argv[1:])
