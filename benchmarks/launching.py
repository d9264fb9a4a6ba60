"""Starting processes that do not outlive us, with pipes to talk over."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from m2m_pipeline.local import launch


def start(
    arguments: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str],
    death_signal: signal.Signals,
    cwd: Path | None = None,
    talks: bool = True,
) -> subprocess.Popen[bytes]:
    """Start `python` with these arguments in a session of its own; what it says on stderr goes to `log`.

    `death_signal` reaches it when we end, be it by SIGKILL. Without `talks`, what it says on stdout goes to `log`, too:
    in a pipe that nobody reads it would stop it once the pipe is full.
    """
    launcher = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), str(int(death_signal))]
    with log.open("ab") as errors:
        return subprocess.Popen(
            [*launcher, str(os.geteuid()), sys.executable, *arguments],
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if talks else errors,
            stderr=errors,
            bufsize=0,
            start_new_session=True,
        )
