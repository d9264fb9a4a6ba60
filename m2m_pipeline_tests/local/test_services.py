"""`m2m up` as a process, with Dagster, PostgreSQL and the simulator."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

import m2m_pipeline
from m2m_pipeline.local.errors import LocalServiceError
from m2m_pipeline.local.services import LocalOptions, LocalServices
from m2m_pipeline.local.state import running_services
from m2m_pipeline_tests.local.waiting import alive, text_of, wait_until

_ROOT = Path(m2m_pipeline.__file__).parent.parent
_UP = (
    "import sys; from pathlib import Path; from m2m_pipeline.local.services import LocalOptions, up\n"
    "up(LocalOptions(state_dir=Path(sys.argv[1]), durable=False), json_output=True)"
)
# A run that works until it is ended; the run's process says where it is, and whether it could tidy up.
_DEFINITIONS = """
import asyncio, os
from pathlib import Path
import dagster as dg

@dg.op
def work():
    diary = Path(os.environ["DIARY"])
    async def wait():
        try:
            await asyncio.sleep(600)
        finally:
            diary.write_text(f"{os.getpid()} cancelled")
    diary.write_text(f"{os.getpid()} working")
    asyncio.run(wait())

@dg.job(executor_def=dg.in_process_executor)
def job():
    work()

@dg.sensor(job=job, default_status=dg.DefaultSensorStatus.RUNNING, minimum_interval_seconds=5)
def at_once():
    return dg.RunRequest(run_key=os.environ["DIARY"])

defs = dg.Definitions(jobs=[job], sensors=[at_once])
"""
_WORKSPACE = "load_from: [{python_module: {module_name: endless_work, attribute: defs, location_name: endless}}]\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "endless_work.py").write_text(_DEFINITIONS, encoding="utf-8")
    (folder / "workspace.yaml").write_text(_WORKSPACE, encoding="utf-8")
    shutil.copy(_ROOT / "dagster.yaml", folder)
    return folder


@contextmanager
def _up(project: Path, state: Path, diary: Path) -> Generator[subprocess.Popen[str]]:
    """Start `m2m up`; afterwards kill it, and see that no process of it is left."""
    process = subprocess.Popen(
        [sys.executable, "-c", _UP, str(state)],
        cwd=project,
        env=_environment(state, diary),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
        wait_until(lambda: not _living(state), "the end of all processes")


def _environment(state: Path, diary: Path) -> dict[str, str]:
    given = {name: text for name, text in os.environ.items() if not name.startswith(("M2M_", "DAGSTER"))}
    return {**given, "PYTHONPATH": str(_ROOT), "TEST_STATE": str(state), "DIARY": str(diary)}


def _living(state: Path) -> list[psutil.Process]:
    """Return the processes of an `m2m up` on this state directory: they have its environment or work there."""
    mark = f"TEST_STATE={state}".encode()
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            environment = (Path("/proc") / str(process.pid) / "environ").read_bytes()
            ours = mark in environment.split(b"\0") or Path(process.cwd()).is_relative_to(state)
        except (psutil.Error, OSError):
            continue
        if ours and alive(process.pid):
            found.append(process)
    return found


def _child(process: subprocess.Popen[str], word: str) -> int:
    return next(
        child.pid for child in psutil.Process(process.pid).children() if any(word in part for part in child.cmdline())
    )


def _addresses(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, trust_env=False).status_code < 500
    except httpx.HTTPError:
        return False


def _rows(url: str, query: bytes) -> list[tuple[object, ...]]:
    with psycopg.connect(url.replace("+psycopg", ""), connect_timeout=5) as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []


def _connects(url: str) -> bool:
    try:
        return _rows(url, b"SELECT 1") == [(1,)]
    except psycopg.OperationalError:
        return False


@pytest.mark.timeout(400)  # it starts all services four times
def test_up_restarts_what_dies_leaves_nothing_when_killed_and_comes_back_with_its_data(
    project: Path, tmp_path: Path
) -> None:
    state, first_diary, second_diary = tmp_path / "state", tmp_path / "first", tmp_path / "second"
    with _up(project, state, first_diary) as process:
        addresses = _addresses(process)
        assert set(addresses) == {"database_url", "dagster_url", "api_url", "simulator_url"}
        assert _answers(addresses["dagster_url"] + "/server_info")
        assert _answers(addresses["api_url"] + "/readyz")
        database = addresses["database_url"]
        assert _rows(database, b"SELECT count(*) FROM bulk_change") == [(0,)], "the schema is there"
        _rows(database, b"CREATE TABLE kept (x int)")

        running = running_services(state)
        assert running is not None
        assert running.supervisor_pid == process.pid
        assert running.addresses.as_dict() == addresses
        assert running.environment["M2M_DATABASE_URL"] == database

        rival = subprocess.run(
            [sys.executable, "-c", _UP, str(state)],
            env=_environment(state, first_diary),
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )
        assert rival.returncode == 1
        assert f"the services already run (process {process.pid})" in rival.stderr
        assert running_services(state) == running

        for victim in [_child(process, word) for word in ("m2m_pipeline.simulator", "postgres")]:
            os.kill(victim, signal.SIGKILL)
        wait_until(lambda: _answers(addresses["simulator_url"]), "the simulator at its old address")
        wait_until(lambda: _connects(database), "PostgreSQL at its old address")

        wait_until(lambda: "working" in text_of(first_diary), "a run")
        living = _living(state)
        assert int(text_of(first_diary).split()[0]) in {one.pid for one in living}
        key = text_of(state / "encryption.key")
        process.kill()
        process.wait()
        wait_until(lambda: not any(alive(one.pid) for one in living), "the end of all processes")
        assert running_services(state) is None, "the file of a killed supervisor does not count"

    with _up(project, state, second_diary) as process:
        assert _rows(_addresses(process)["database_url"], b"SELECT count(*) FROM kept") == [(0,)]
        assert text_of(state / "encryption.key") == key
        wait_until(lambda: "working" in text_of(second_diary), "a run")
        process.terminate()
        assert process.wait() == 0
        assert not _living(state)
        assert running_services(state) is None
        assert "cancelled" in text_of(second_diary), "the run could tidy up"


@pytest.mark.parametrize(
    "moment",
    ["lock", "postgres/cluster.new/PG_VERSION", "postgres/cluster/postmaster.pid", "logs/dagster-webserver.log"],
)
def test_sigint_during_the_start_leaves_no_process(project: Path, tmp_path: Path, moment: str) -> None:
    state = tmp_path / "state"
    with _up(project, state, tmp_path / "diary") as process:
        wait_until((state / moment).exists, moment)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
        assert (process.returncode, out, err) == (0, "", "")
        wait_until(lambda: not _living(state), "the end of all processes", seconds=2)


def test_code_that_cannot_be_loaded_ends_the_start_with_its_reason(project: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(project, broken)
    (broken / "endless_work.py").write_text("raise RuntimeError('no such luck')", encoding="utf-8")
    with _up(broken, tmp_path / "state", tmp_path / "diary") as process:
        _out, err = process.communicate()
        assert process.returncode == 1
        assert "code location endless: Dagster cannot load it" in err
        assert "no such luck" in err


def test_a_service_that_dies_during_the_start_ends_it_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(_ROOT)
    monkeypatch.delenv("M2M_DATABASE_URL", raising=False)
    options = LocalOptions(state_dir=tmp_path, simulator_arguments=("--nonsense",), durable=False)
    before = set(psutil.Process().children())
    with (
        pytest.raises(LocalServiceError, match=r"(?s)simulator: ended with exit status 2.*unrecognized arguments"),
        LocalServices(options),
    ):
        pass
    assert set(psutil.Process().children()) <= before


def test_without_the_projects_files_the_error_says_where_they_were_sought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(m2m_pipeline, "__file__", str(tmp_path / "site" / "m2m_pipeline" / "__init__.py"))
    with pytest.raises(LocalServiceError, match=r"workspace.yaml: neither .* nor .* exists: run it"):
        LocalServices(LocalOptions(state_dir=tmp_path / "state")).__enter__()
