"""Numbers for those who run the service, of all tenants, as they are at the moment of asking."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from m2m_pipeline.domain.status import OPEN_DEVICES


@dataclass(frozen=True, slots=True)
class Counted:
    """How many of a provider's bulk changes or devices are in a state."""

    tenant: str
    provider: str
    status: str
    count: int


@dataclass(frozen=True, slots=True)
class QueueGauge:
    """The queue. The age is that of the entry that has waited longest, in seconds; 0 where none waits."""

    depth: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class LeaseGauge:
    """The leases. The age is that of the longest-running attempt, in seconds; `expired` ones await the sweeper."""

    held: int
    expired: int
    oldest_seconds: float


def queue(connection: Connection) -> QueueGauge:
    """The queue of all tenants."""
    row = connection.execute(
        text(
            """
            SELECT count(*) AS depth,
                coalesce(extract(epoch FROM clock_timestamp() - min(attempt_queued_at)), 0)::float8 AS oldest
            FROM m2m.bulk_change WHERE status = 'QUEUED'
            """
        )
    ).one()
    return QueueGauge(row.depth, row.oldest)


def leases(connection: Connection) -> LeaseGauge:
    """The leases of all running attempts."""
    row = connection.execute(
        text(
            """
            SELECT count(*) AS held, count(*) FILTER (WHERE lease_expires_at < clock_timestamp()) AS expired,
                coalesce(extract(epoch FROM clock_timestamp() - min(started_at)), 0)::float8 AS oldest
            FROM m2m.bulk_change WHERE status = 'PROCESSING' AND lease_owner IS NOT NULL
            """
        )
    ).one()
    return LeaseGauge(row.held, row.expired, row.oldest)


def bulk_changes(connection: Connection) -> Sequence[Counted]:
    """Bulk changes by provider and status."""
    return _counted(
        connection,
        """
        SELECT t.name AS tenant, p.name AS provider, c.status, c.number
        FROM (SELECT service_provider_id, status, count(*) AS number FROM m2m.bulk_change GROUP BY 1, 2) c
        """,
    )


def open_devices(connection: Connection) -> Sequence[Counted]:
    """Devices that are not settled, by provider and status; by an index that holds these alone."""
    return _counted(
        connection,
        f"""
        SELECT t.name AS tenant, p.name AS provider, c.status, c.number
        FROM (SELECT service_provider_id, status, count(*) AS number FROM m2m.device_change
            WHERE status IN ({", ".join(repr(status.value) for status in sorted(OPEN_DEVICES))}) GROUP BY 1, 2) c
        """,
    )


def ended_devices(connection: Connection) -> Sequence[Counted]:
    """Devices of ended bulk changes by how they ended, from the result documents: nobody counts millions of rows."""
    return _counted(
        connection,
        """
        SELECT t.name AS tenant, p.name AS provider, c.status, c.number
        FROM (SELECT b.service_provider_id, e.key AS status, sum(e.value::bigint)::bigint AS number
            FROM m2m.bulk_change b CROSS JOIN LATERAL jsonb_each_text(b.result -> 'counts') e
            WHERE b.result IS NOT NULL GROUP BY 1, 2) c
        """,
    )


def carrier_calls(connection: Connection) -> Mapping[int, int]:
    """Calls by the provider's id, as its bulk changes and passes on record have counted them."""
    rows = connection.execute(
        text(
            """
            SELECT service_provider_id, sum(carrier_calls)::bigint AS calls FROM (
                SELECT service_provider_id, carrier_calls FROM m2m.bulk_change
                UNION ALL SELECT service_provider_id, carrier_calls FROM m2m.reconciliation_pass
            ) u GROUP BY 1
            """
        )
    )
    return {row.service_provider_id: row.calls for row in rows}


def _counted(connection: Connection, counts: str) -> Sequence[Counted]:
    rows = connection.execute(
        text(
            f"""
            {counts}
            JOIN m2m.service_provider p ON p.id = c.service_provider_id JOIN m2m.tenant t ON t.id = p.tenant_id
            ORDER BY 1, 2, 3
            """
        )
    )
    return [Counted(row.tenant, row.provider, row.status, row.number) for row in rows]
