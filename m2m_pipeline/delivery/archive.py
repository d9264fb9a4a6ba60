"""Digests in a directory of the file system: each is a file of its own, which is written once, at once and for good."""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from m2m_pipeline.domain.digests import ArchiveUnavailableError

_READ_ONLY = 0o444


class DirectoryArchive:
    """A directory. What keeps its files from being deleted is the operator's business: see docs/audit.md."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def name(self) -> str:
        """Its path."""
        return str(self._root)

    def list_names(self, folder: str = "") -> Sequence[str]:
        """The names of all digests (in a folder), in order."""
        try:
            return sorted(str(path.relative_to(self._root)) for path in (self._root / folder).rglob("*.json"))
        except OSError as error:
            raise self._unavailable(error) from error

    def read(self, name: str) -> bytes:
        """The content of a file."""
        try:
            return (self._root / name).read_bytes()
        except OSError as error:
            raise self._unavailable(error) from error

    def write(self, name: str, content: bytes) -> bool:
        """Write a file that nobody sees before it is whole and on the disk; False where its name is taken."""
        path = self._root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return _write_once(path, content)
        except OSError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: OSError) -> ArchiveUnavailableError:
        return ArchiveUnavailableError(
            f"Audit digests in {self.name}: {error.strerror or type(error).__name__}. No digest was lost or changed. "
            "Trying again helps once this process may read and write there: see M2M_AUDIT_DIGEST_TARGET."
        )


def _write_once(path: Path, content: bytes) -> bool:
    draft = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _READ_ONLY), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(draft)  # unlike a renaming, it never replaces
        except FileExistsError:
            return False
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return True
