"""Removes records whose time is over. Audit entries, bulk changes and their devices are never among them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from m2m_pipeline.domain.status import ENDED_BULK_CHANGES

EXPIRED: Mapping[str, str] = {
    "inbox_message": "received_at < :before",
    "notice": "ended_at < :before",
    "drift": "resolved_at < :before",
    "reconciliation_pass": (
        "finished_at < :before AND NOT EXISTS (SELECT 1 FROM m2m.drift d WHERE d.pass_id = t.id) AND EXISTS (SELECT 1 "
        "FROM m2m.reconciliation_pass n WHERE n.service_provider_id = t.service_provider_id AND n.id > t.id "
        "AND n.is_full AND n.finished_at IS NOT NULL)"
    ),
    "alert": "resolved_at < :before",
    # A lost answer is asked for within a minute.
    "transaction_mark": "left_at < greatest(:before, clock_timestamp() - interval '1 day')",
}
"""Table → which of its rows are no longer needed, in the order in which they may go.

Of the passes of a reconciliation, the next goes on from the last: they stay until a later one has compared everything.
"""

_WITHOUT_TENANT = {"alert"}


def find_limit(connection: Connection, days: int) -> datetime:
    """The moment so many days ago, by the database's clock."""
    limit = text("SELECT clock_timestamp() - make_interval(days => :days)")
    return connection.execute(limit, {"days": days}).scalar_one()


def delete_expired(connection: Connection, table: str, before: datetime, most: int) -> Mapping[int | None, int]:
    """Delete at most so many expired rows of a table of EXPIRED; how many of each tenant (None: of the platform)."""
    owner = "CAST(NULL AS bigint)" if table in _WITHOUT_TENANT else "tenant_id"
    rows = connection.execute(
        text(
            f"""
            WITH gone AS (DELETE FROM m2m.{table} WHERE id IN (SELECT id FROM m2m.{table} t WHERE {EXPIRED[table]}
                ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED) RETURNING {owner} AS tenant_id)
            SELECT tenant_id, count(*) FROM gone GROUP BY tenant_id
            """
        ),
        {"before": before, "most": most},
    )
    return dict(rows.tuples().all())


def record_purged(connection: Connection, records: str, count: int, before: datetime) -> None:
    """Write down that so many records which are no tenant's, from before a moment, are removed."""
    connection.execute(
        text("INSERT INTO m2m.purged (records, count, before) VALUES (:records, :count, :before)"),
        {"records": records, "count": count, "before": before},
    )


def list_ended(connection: Connection, bulk_change_ids: Sequence[int]) -> Mapping[int, int]:
    """Those of the bulk changes that have ended, with the tenant of each."""
    rows = connection.execute(
        text("SELECT id, tenant_id FROM m2m.bulk_change WHERE id = ANY(:ids) AND status = ANY(:ended)"),
        {"ids": list(bulk_change_ids), "ended": sorted(ENDED_BULK_CHANGES)},
    )
    return dict(rows.tuples().all())


def list_under_way(connection: Connection, bulk_change_ids: Sequence[int]) -> Collection[int]:
    """Those of the bulk changes that are there and have not ended."""
    rows = connection.execute(
        text("SELECT id FROM m2m.bulk_change WHERE id = ANY(:ids) AND status <> ALL(:ended)"),
        {"ids": list(bulk_change_ids), "ended": sorted(ENDED_BULK_CHANGES)},
    )
    return set(rows.scalars().all())
