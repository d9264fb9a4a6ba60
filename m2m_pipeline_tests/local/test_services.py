"""`m2m up` as a process, with Dagster, PostgreSQL and the simulator."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import psutil
import psycopg
import pytest
from cryptography.fernet import Fernet

import m2m_pipeline
from m2m_pipeline.local.errors import LocalServiceError
from m2m_pipeline.local.postgres import EmbeddedPostgres
from m2m_pipeline.local.services import LocalOptions, LocalServices
from m2m_pipeline.local.state import Addresses, RunningServices, encryption_keys, exclusive, running_services
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
def _up(project: Path, state: Path) -> Iterator["subprocess.Popen[str]"]:
    """Start `m2m up`; afterwards kill it, and check that no process of it is left."""
    mine = {name: text for name, text in os.environ.items() if not name.startswith(("M2M_", "DAGSTER"))}
    environment = {**mine, "PYTHONPATH": str(_ROOT), "DIARY": str(state.with_suffix(".diary"))}
    process = subprocess.Popen(
        [sys.executable, "-c", _UP, str(state)],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with process:
            yield process
            process.kill()
    finally:
        process.kill()
        wait_until(lambda: not _living(state), "the end of all processes")


def _living(state: Path) -> list[psutil.Process]:
    """Return the processes that work in the state directory or were started with it: all of `m2m up`'s."""
    diary = f"DIARY={state.with_suffix('.diary')}".encode()
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            entry = Path("/proc") / str(process.pid)
            ours = diary in (entry / "environ").read_bytes() or Path(process.cwd()).is_relative_to(state)
        except (psutil.Error, OSError):
            continue
        if ours and alive(process.pid):
            found.append(process)
    return found


def _child(process: "subprocess.Popen[str]", word: str) -> int:
    return next(
        child.pid for child in psutil.Process(process.pid).children() if any(word in part for part in child.cmdline())
    )


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5):
            return True
    except OSError as error:
        return "HTTP Error" in str(error)


def test_up_serves_restarts_what_dies_and_leaves_nothing_when_it_is_killed(project: Path, tmp_path: Path) -> None:
    state, diary = tmp_path / "state", tmp_path / "state.diary"
    with _up(project, state) as process:
        assert process.stdout is not None
        addresses = json.loads(process.stdout.readline())
        assert set(addresses) == {"database_url", "dagster_url", "simulator_url"}

        running = running_services(state)
        assert running is not None
        assert running.supervisor_pid == process.pid
        assert running.addresses.as_dict() == addresses
        assert running.environment["M2M_DATABASE_URL"] == addresses["database_url"]
        assert _answers(addresses["dagster_url"] + "/server_info")
        with psycopg.connect(addresses["database_url"].replace("+psycopg", "")) as connection:
            assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)

        second = subprocess.run(
            [sys.executable, "-c", _UP, str(state)],
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )
        assert second.returncode != 0
        assert f"the services already run (process {process.pid})" in second.stderr

        os.kill(_child(process, "m2m_pipeline.simulator"), signal.SIGKILL)
        os.kill(_child(process, "postgres"), signal.SIGKILL)
        wait_until(lambda: _answers(addresses["simulator_url"]), "the simulator at its old address")
        wait_until(lambda: _connects(addresses["database_url"]), "PostgreSQL at its old address")

        wait_until(lambda: "working" in text_of(diary), "a run")
        before = _living(state)
        assert int(text_of(diary).split()[0]) in {one.pid for one in before}
        process.kill()
        process.wait()
        wait_until(lambda: not any(alive(one.pid) for one in before), "the end of all processes")
        assert running_services(state) is None, "the file of a killed supervisor does not count"


def _connects(url: str) -> bool:
    try:
        psycopg.connect(url.replace("+psycopg", ""), connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def test_sigterm_lets_a_run_tidy_up_and_the_next_up_finds_the_data(project: Path, tmp_path: Path) -> None:
    state, diary = tmp_path / "state", tmp_path / "state.diary"
    keys: list[str] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        with _up(project, state) as process:
            assert process.stdout is not None
            address = json.loads(process.stdout.readline())["database_url"].replace("+psycopg", "")
            keys.append(text_of(state / "encryption.key"))
            with psycopg.connect(address) as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS kept (x int)")
                connection.execute("INSERT INTO kept VALUES (1)")
                assert connection.execute("SELECT count(*) FROM kept").fetchone() == (len(keys),)
            if number == signal.SIGTERM:
                wait_until(lambda: "working" in text_of(diary), "a run")
            process.send_signal(number)
            assert process.wait() == 0
            assert not _living(state)
            assert running_services(state) is None
    assert "cancelled" in text_of(diary)
    assert keys[0] == keys[1]


@pytest.mark.parametrize(
    "moment",
    ["lock", "postgres/cluster.new/PG_VERSION", "postgres/cluster/postmaster.pid", "logs/dagster-webserver.log"],
)
def test_sigint_during_the_start_leaves_no_process(project: Path, tmp_path: Path, moment: str) -> None:
    state = tmp_path / "state"
    with _up(project, state) as process:
        wait_until((state / moment).exists, moment)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
        assert (process.returncode, out, err) == (0, "", "")
        assert not _living(state)


def test_code_that_cannot_be_loaded_ends_the_start_with_its_reason(project: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(project, broken)
    (broken / "endless_work.py").write_text("raise RuntimeError('no such luck')", encoding="utf-8")
    with _up(broken, tmp_path / "state") as process:
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
    with (
        pytest.raises(LocalServiceError, match=r"(?s)simulator: ended with exit status 2.*unrecognized arguments"),
        LocalServices(options),
    ):
        pass
    assert not psutil.Process().children()


def test_an_unreachable_database_of_the_operator_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(_ROOT)
    monkeypatch.setenv("M2M_DATABASE_URL", "postgresql+psycopg://me:secret@127.0.0.1:1/mine")
    options = LocalOptions(state_dir=tmp_path, simulator_arguments=None)
    with pytest.raises(
        LocalServiceError, match=r"M2M_DATABASE_URL .*me:\*\*\*@127.0.0.1:1/mine: no connection"
    ) as caught:
        LocalServices(options).__enter__()
    assert "secret" not in str(caught.value)


def test_the_operators_database_is_used_and_dagsters_made_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_server: EmbeddedPostgres, empty_database_url: str
) -> None:
    monkeypatch.chdir(_ROOT)
    monkeypatch.setenv("M2M_DATABASE_URL", empty_database_url)
    monkeypatch.delenv("M2M_DAGSTER_DATABASE_URL", raising=False)
    beside = empty_database_url.rpartition("/")[2] + "_dagster"
    try:
        with LocalServices(LocalOptions(state_dir=tmp_path, simulator_arguments=None)) as services:
            assert services.addresses.database_url == empty_database_url
            assert services.addresses.simulator_url is None
            assert services.environment["M2M_DAGSTER_DATABASE_URL"].endswith("/" + beside)
            assert not (tmp_path / "postgres").exists()
    finally:
        postgres_server.drop_database(beside)


def test_what_the_state_directory_keeps_is_for_its_owner_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("M2M_ENCRYPTION_KEYS", raising=False)
    state = tmp_path / "new"
    services = RunningServices(1, Addresses("a", "b", None), {"M2M_ENCRYPTION_KEYS": "k"})
    assert running_services(state) is None
    with exclusive(state):
        key = encryption_keys(state)
        Fernet(key)
        assert encryption_keys(state) == key
        services.write(state)
        assert running_services(state) == services
        for name in ("encryption.key", "services.json"):
            assert stat.S_IMODE((state / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert not (state / "services.json").exists()
    monkeypatch.setenv("M2M_ENCRYPTION_KEYS", "theirs")
    assert encryption_keys(state) == "theirs"


def test_without_the_projects_files_the_error_says_where_they_were_sought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(m2m_pipeline, "__file__", str(tmp_path / "site" / "m2m_pipeline" / "__init__.py"))
    with pytest.raises(
        LocalServiceError, match="workspace.yaml: neither .* nor .* exists: run it in the project's root"
    ):
        LocalServices(LocalOptions(state_dir=tmp_path / "state")).__enter__()
