"""A run stores its events over one connection, which it replaces where the server has ended it."""

from collections.abc import Generator
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from m2m_pipeline.orchestration.event_log import keep_connection

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
