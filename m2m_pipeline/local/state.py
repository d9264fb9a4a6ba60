"""The state directory: who runs its services, where they are, and what they keep secret."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict, cast

from cryptography.fernet import Fernet

from m2m_pipeline.local.errors import LocalServiceError
from m2m_pipeline.services.audit.signing import generate
from m2m_pipeline.settings import SERVICES_FILE

_LOCK_FILE = "lock"
_LOCK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the running services are; None for one that was not asked for."""

    database_url: str
    dagster_url: str
    api_url: str
    simulator_url: str | None

    def as_dict(self) -> dict[str, str]:
        """Return the addresses that exist, by the names that `m2m up --json` prints."""
        return {name: url for name, url in asdict(self).items() if url is not None}


@dataclass(frozen=True, slots=True)
class RunningServices:
    """What another command needs to use the services; `environment` contains secrets."""

    supervisor_pid: int
    addresses: Addresses
    environment: dict[str, str]

    def write(self, state_dir: Path) -> None:
        """Publish it in the state directory, all at once, readable by the owner only."""
        document = {
            "supervisor_pid": self.supervisor_pid,
            "addresses": self.addresses.as_dict(),
            "environment": self.environment,
        }
        target = state_dir / SERVICES_FILE
        _write_private(target.with_suffix(".new"), json.dumps(document, indent=2) + "\n")
        target.with_suffix(".new").rename(target)


class _Document(TypedDict):
    supervisor_pid: int
    addresses: dict[str, str]
    environment: dict[str, str]


def running_services(state_dir: Path) -> RunningServices | None:
    """Return the services that run on this state directory and are ready; None if there are none.

    A file left by a killed supervisor does not count. Raises PermissionError for another user's directory.
    """
    try:
        document = cast("_Document", json.loads((state_dir / SERVICES_FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    if not _is_held(state_dir / _LOCK_FILE):
        return None
    addresses = document["addresses"]
    return RunningServices(
        supervisor_pid=document["supervisor_pid"],
        addresses=Addresses(
            addresses["database_url"],
            addresses["dagster_url"],
            addresses["api_url"],
            addresses.get("simulator_url"),
        ),
        environment=document["environment"],
    )


@contextmanager
def exclusive(state_dir: Path) -> Generator[None]:
    """Create the directory (mode 0700) if needed, and hold it against every other supervisor.

    The lock ends with this process, however it ends. Raises LocalServiceError if another one holds it.
    """
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    deadline = time.monotonic() + _LOCK_SECONDS
    with (state_dir / _LOCK_FILE).open("a+", encoding="ascii") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:  # longer than `_is_held` needs
                    lock.seek(0)
                    raise LocalServiceError(
                        f"state directory {state_dir}: the services already run (process {lock.read().strip()}): "
                        "use them, end that process, or set M2M_STATE_DIR to another directory"
                    ) from None
                time.sleep(0.05)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        (state_dir / SERVICES_FILE).unlink(missing_ok=True)
        try:
            yield
        finally:
            (state_dir / SERVICES_FILE).unlink(missing_ok=True)


def encryption_keys(state_dir: Path) -> str:
    """Return M2M_ENCRYPTION_KEYS, or else the key of this state directory, generated at the first call."""
    if given := os.environ.get("M2M_ENCRYPTION_KEYS"):
        return given
    return _kept(state_dir / "encryption.key", lambda: Fernet.generate_key().decode("ascii"))


def development_digests(state_dir: Path) -> dict[str, str]:
    """Return the settings with which audit digests are signed and kept in this state directory: for development.

    They prove nothing against whoever owns the directory, who has the log, the digests and the key, all three. Nothing
    where the environment names a target, a key or a database of its own: what is signed there is the operator's.
    """
    if any(os.environ.get(f"M2M_{name}") for name in ("AUDIT_DIGEST_TARGET", "AUDIT_SIGNING_KEY", "DATABASE_URL")):
        return {}
    return {
        "M2M_AUDIT_DIGEST_TARGET": str(state_dir / "audit-digests"),
        "M2M_AUDIT_SIGNING_KEY": _kept(state_dir / "audit-signing.key", lambda: generate()[0]),
    }


def _kept(file: Path, make: Callable[[], str]) -> str:
    """The secret in a file, made at the first call."""
    if not file.exists():
        _write_private(file.with_suffix(".new"), make())
        file.with_suffix(".new").rename(file)
    return file.read_text(encoding="ascii").strip()


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _is_held(lock_file: Path) -> bool:
    try:
        with lock_file.open(encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
