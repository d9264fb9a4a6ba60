"""The data directory of the embedded server: created once, complete or not at all."""

import os
import secrets
import shutil
import signal
import tempfile
import time
from pathlib import Path

import psutil

from m2m_pipeline.local.children import end_group, spawn, tail
from m2m_pipeline.local.errors import LocalServiceError

SUPERUSER = "m2m"
WORKING_DIRECTORY = "/proc/self/cwd"
"""The data directory as PostgreSQL's programs are told it: through this link they find it by their working directory,
which we open for them. So the server's user needs no right to enter the directories above, and none is given to it."""

_PREDECESSOR_SECONDS = 30


def create_cluster(cluster: Path, *, binaries: Path, uid: int, durable: bool, log: Path) -> None:
    """Create a cluster owned by `uid`, UTF-8 and locale C, its superuser's new password in the file `password` beside.

    Raises LocalServiceError, with the end of the log, when initdb fails.
    """
    # Under another name until complete: an interrupted initdb must not pass for a cluster.
    building = cluster.with_suffix(".new")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(mode=0o700)
    os.chown(building, uid, -1)
    password = secrets.token_urlsafe(24)
    with os.fdopen(os.open(password_file(cluster), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(password)
    with tempfile.TemporaryFile() as handover, log.open("ab") as output:
        # A file without a name: the server's user can read it without entering any directory.
        handover.write(password.encode())
        handover.flush()
        os.fchown(handover.fileno(), uid, -1)
        arguments = [
            *(str(binaries / "initdb"), "-D", WORKING_DIRECTORY, "-U", SUPERUSER, "-E", "UTF8", "--locale=C"),
            *("--auth=scram-sha-256", f"--pwfile=/proc/self/fd/{handover.fileno()}"),
            *(() if durable else ("--no-sync",)),
        ]
        process = spawn(
            arguments,
            cwd=building,
            log=output,
            death_signal=signal.SIGKILL,
            uid=uid,
            fds=(handover.fileno(),),
        )
        try:
            status = process.wait()
        finally:
            end_group(process)
    if status != 0:
        message = f"PostgreSQL: initdb in {building} ended with status {status}; the end of {log}:\n{tail(log)}"
        raise LocalServiceError(message)
    building.rename(cluster)


def password_file(cluster: Path) -> Path:
    """Return the file that holds the superuser's password."""
    return cluster.with_name("password")


def await_end_of_predecessor(cluster: Path) -> None:
    """Let a server whose owner was killed finish its shutdown, and forget a process id that is not a server's.

    Raises LocalServiceError when the server still runs after 30 s.
    """
    pid_file = cluster / "postmaster.pid"
    deadline = time.monotonic() + _PREDECESSOR_SECONDS
    while pid_file.exists():
        try:
            pid = int(pid_file.read_text(encoding="ascii").split()[0])
            process = psutil.Process(pid)
            running = process.name() == "postgres" and process.status() != psutil.STATUS_ZOMBIE
        except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
            pid, running = 0, False
        if not running:
            # After a crash of the machine another program may have that id, and the server would refuse to start.
            pid_file.unlink(missing_ok=True)
        elif time.monotonic() > deadline:
            message = f"PostgreSQL: another server (process {pid}) still runs over {cluster}: end it first"
            raise LocalServiceError(message)
        else:
            time.sleep(0.1)
