"""A run stores its events over one connection that it replaces where it broke; what checks came to is purged."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import dagster as dg
import psycopg
import pytest
from dagster._core.events import DagsterEvent, DagsterEventType
from sqlalchemy import event
from sqlalchemy.pool import Pool

from m2m_pipeline.orchestration.event_log import keep_connection, purge_checks

EVENTS = 10


@pytest.fixture
def dagster_url(empty_database_url: str) -> str:
    return empty_database_url.replace("+psycopg", "")


@pytest.fixture
def instance(dagster_url: str, tmp_path: Path) -> Generator[dg.DagsterInstance]:
    """Dagster's records in PostgreSQL, as they are in a deployment."""
    (tmp_path / "dagster.yaml").write_text(
        f"storage: {{postgres: {{postgres_url: '{dagster_url}'}}}}\ntelemetry: {{enabled: false}}\n"
    )
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


def report(instance: dg.DagsterInstance, number: int) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization("kept", partition=str(number)))


def test_after_the_first_event_no_connection_is_opened(instance: dg.DagsterInstance) -> None:
    opened: list[object] = []

    def note(connection: object, _: object) -> None:
        opened.append(connection)

    keep_connection(instance)
    report(instance, 0)
    event.listen(Pool, "connect", note)

    for number in range(1, EVENTS):
        report(instance, number)

    assert opened == []
    assert len(instance.get_materialized_partitions(dg.AssetKey("kept"))) == EVENTS


def test_a_connection_that_the_server_ended_is_replaced_and_no_event_is_lost(
    instance: dg.DagsterInstance, dagster_url: str
) -> None:
    keep_connection(instance)
    report(instance, 0)
    with psycopg.connect(dagster_url) as other:
        others = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()"
        assert other.execute(f"{others} AND pid <> pg_backend_pid()").fetchall() == [(True,)]

    report(instance, 1)

    assert instance.get_materialized_partitions(dg.AssetKey("kept")) == {"0", "1"}


def evaluate(instance: dg.DagsterInstance, check: str, partition: str | None, *, passed: bool) -> None:
    evaluation = dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey("kept"), check_name=check, passed=passed, partition=partition
    )
    told = DagsterEvent(DagsterEventType.ASSET_CHECK_EVALUATION.value, "job", event_specific_data=evaluation)
    instance.report_dagster_event(told, run_id=str(uuid4()))


def test_old_check_executions_go_but_for_what_the_catalog_shows(instance: dg.DagsterInstance, dagster_url: str) -> None:
    instance.add_dynamic_partitions("changes", ["here"])
    for partition in ("gone", "here", None, "here", None, "gone"):
        evaluate(instance, "balance", partition, passed=True)
    evaluate(instance, "fresh", "gone", passed=False)
    tomorrow = datetime.now(UTC) + timedelta(days=1)

    noted: list[int] = []
    assert purge_checks(instance, tomorrow - timedelta(days=2), noted.append) == 0, "nothing is old"
    assert purge_checks(instance, tomorrow, noted.append) == 3
    assert purge_checks(instance, tomorrow, noted.append) == 0
    assert noted == [3]

    with psycopg.connect(dagster_url) as connection:
        left = connection.execute("SELECT id, check_name, partition FROM asset_check_executions ORDER BY id").fetchall()
    assert left == [(4, "balance", "here"), (5, "balance", None), (6, "balance", "gone"), (7, "fresh", "gone")]
    keys = [dg.AssetCheckKey(dg.AssetKey("kept"), name) for name in ("balance", "fresh")]
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    assert {key.name: record.id for key, record in latest.items()} == {"balance": 6, "fresh": 7}
