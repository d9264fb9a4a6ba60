"""The daemon dies at any point of a tick; the next one brings every bulk change to its end, with one run each."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import psycopg
import pytest

import m2m_pipeline
from m2m_pipeline.domain.status import ENDED_BULK_CHANGES
from m2m_pipeline.local.ports import LOOPBACK, free_port
from m2m_pipeline.local.postgres import EmbeddedPostgres
from m2m_pipeline_tests.environment import inherited
from m2m_pipeline_tests.faults.conftest import MakeField
from m2m_pipeline_tests.faults.daemon import POINT, TICK_POINTS
from m2m_pipeline_tests.faults.field import PATIENCE_SECONDS, Change, Field, eventually
from m2m_pipeline_tests.faults.points import resolve
from m2m_pipeline_tests.faults.verdict import judge

pytestmark = [pytest.mark.xdist_group("acceptance"), pytest.mark.timeout(400)]

DEVICES = 12
_PROJECT = Path(m2m_pipeline.__file__).parent.parent
_NEVER = "0 0 1 1 *"
_LOADING_SECONDS = 240.0
"""Of a machine that has other things to do: the processes of runs load within seconds on one that has not."""


@dataclass(frozen=True, slots=True)
class Dagster:
    """A code server that lives, over a field; the daemons come and go."""

    environment: Mapping[str, str]
    workspace: Path
    log: Path

    @contextmanager
    def daemon(self, point: str = "") -> Generator[subprocess.Popen[bytes]]:
        """A daemon, which dies at a point if one is named."""
        command = [sys.executable, "-m", "m2m_pipeline_tests.faults.daemon", "run", "-w", str(self.workspace)]
        with (
            self.log.open("ab") as log,
            subprocess.Popen(
                command, cwd=_PROJECT, env={**self.environment, POINT: point}, stdout=log, stderr=subprocess.STDOUT
            ) as process,
        ):
            try:
                yield process
            finally:
                process.kill()

    def runs(self) -> list[tuple[object, ...]]:
        """Status of every run that Dagster has."""
        url = self.environment["M2M_DAGSTER_DATABASE_URL"].replace("+psycopg2", "")
        with psycopg.connect(url) as connection:
            return connection.execute("SELECT status FROM runs").fetchall()


@pytest.fixture
def field(make_field: MakeField) -> Field:
    return make_field(2, DEVICES)


@pytest.fixture
def dagster(field: Field, postgres_server: EmbeddedPostgres, tmp_path: Path) -> Generator[Dagster]:
    database, port = f"{field.database_url.rpartition('/')[2]}_dagster", free_port()
    postgres_server.create_database(database)
    shutil.copyfile(_PROJECT / "dagster.yaml", tmp_path / "dagster.yaml")
    workspace, log = tmp_path / "workspace.yaml", tmp_path / "log"
    workspace.write_text(
        f"load_from: [{{grpc_server: {{host: {LOOPBACK}, port: {port}, location_name: m2m_pipeline}}}}]"
    )
    environment = {
        **inherited(),
        **{f"M2M_{name.upper()}": value for name, value in field.settings.items()},
        **{f"M2M_{name}_CRON": _NEVER for name in ("RECONCILE", "CHECK", "DAILY", "AUDIT_VERIFY", "RETENTION")},
        "M2M_SWEEP_INTERVAL_SECONDS": "5",
        "M2M_DAGSTER_DATABASE_URL": postgres_server.dagster_url(database),
        "DAGSTER_HOME": str(tmp_path),
    }
    code = ["-m", "m2m_pipeline.definitions", "-a", "defs", "-h", LOOPBACK, "-p", str(port)]
    command = [sys.executable, "-m", "dagster", "api", "grpc", *code, "--use-python-environment-entry-point"]
    with (
        log.open("ab") as output,
        subprocess.Popen(
            command, cwd=_PROJECT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        ) as server,
    ):
        try:
            with grpc.insecure_channel(f"{LOOPBACK}:{port}") as channel:
                grpc.channel_ready_future(channel).result(PATIENCE_SECONDS)
            yield Dagster(environment, workspace, log)
        finally:
            server.terminate()
            server.wait(PATIENCE_SECONDS)
    postgres_server.drop_database(database)


@pytest.mark.parametrize("name", TICK_POINTS)
def test_every_point_of_a_tick_is_a_function_of_dagsters(name: str) -> None:
    owner, function = resolve(TICK_POINTS[name].function)

    assert callable(getattr(owner, function))


def test_a_daemon_that_dies_at_any_point_of_a_tick_loses_no_bulk_change_and_starts_none_twice(
    field: Field, dagster: Dagster
) -> None:
    changes = [_left_by_a_dead_run(field)]
    for point in TICK_POINTS:
        with dagster.daemon(point) as daemon:
            assert daemon.wait(PATIENCE_SECONDS) == -signal.SIGKILL, dagster.log.read_text()
        if point == "after the sweeper's commit":
            assert field.standing(changes[0]) == ("QUEUED", 2)
            changes.append(field.submit(batch_size=DEVICES))  # two requests: a daemon dies between them, too
    with dagster.daemon():
        eventually(lambda: _all_ended(field, changes, dagster), "the end of every bulk change", _LOADING_SECONDS)

    assert dagster.runs() == [("SUCCESS",)] * len(changes)
    for change in changes:
        verdict = judge("the daemon died", field.evidence(change), len(TICK_POINTS))
        assert verdict.holds, f"{verdict}"


def _left_by_a_dead_run(field: Field) -> Change:
    """A bulk change whose first attempt has let its lease run out."""
    change = field.submit(batch_size=DEVICES)
    field.services.execution.claim(change.id, "run that died")
    expired = "SELECT 1 FROM m2m.bulk_change WHERE id = %s AND lease_expires_at < now()"
    eventually(lambda: field.sql(expired, change.id) or None, "the end of its lease")
    return change


def _all_ended(field: Field, changes: list[Change], dagster: Dagster) -> bool | None:
    """Whether every bulk change has ended, and every run of theirs."""
    ended = all(field.standing(change)[0] in ENDED_BULK_CHANGES for change in changes)
    return (ended and all(status not in _UNDER_WAY for (status,) in dagster.runs())) or None


_UNDER_WAY = {"NOT_STARTED", "QUEUED", "STARTING", "STARTED", "CANCELING"}
