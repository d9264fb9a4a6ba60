"""Counts over rows, for the catalog: never a device by name."""

from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import Connection, text

Row = tuple[object, ...]


def plan_moves(connection: Connection, bulk_change_id: int) -> Sequence[tuple[str, str, str, int]]:
    """Old plan, new plan, device status and devices of a bulk change, most frequent first."""
    rows = connection.execute(
        text(
            """
            SELECT coalesce(old_rate_plan, ''), rate_plan, status, count(*) FROM m2m.device_change
            WHERE bulk_change_id = :id GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 3
            """
        ),
        {"id": bulk_change_id},
    )
    return [(old, planned, status, devices) for old, planned, status, devices in rows]


def progress(connection: Connection, bulk_change_id: int, points: int) -> Sequence[tuple[datetime, int]]:
    """Until when how many devices of a bulk change had ended, at about `points` moments."""
    rows = connection.execute(
        text(
            """
            WITH ended AS (
                SELECT ended_at, row_number() OVER (ORDER BY ended_at) AS n, count(*) OVER () AS total
                FROM m2m.device_change WHERE bulk_change_id = :id AND ended_at IS NOT NULL
            )
            SELECT ended_at, n FROM ended WHERE n = 1 OR n = total OR n % greatest(1, total / :points) = 0 ORDER BY n
            """
        ),
        {"id": bulk_change_id, "points": points},
    )
    return [(row.ended_at, row.n) for row in rows]


def start_up(connection: Connection, bulk_change_id: int) -> float | None:
    """Seconds from the start of a bulk change's last attempt until it first sent a device; None where it sent none.

    A device that is sent once more is sent later: where that befell all of the first ones, so much longer.
    """
    return connection.execute(
        text(
            """
            SELECT CAST(extract(epoch FROM min(c.sent_at) - b.started_at) AS float8)
            FROM m2m.bulk_change b JOIN m2m.device_change c ON c.bulk_change_id = b.id AND c.sent_at >= b.started_at
            WHERE b.id = :id GROUP BY b.started_at
            """
        ),
        {"id": bulk_change_id},
    ).scalar_one_or_none()


def audit_kinds(connection: Connection, bulk_change_id: int) -> Sequence[tuple[str, int]]:
    """Audit entries of a bulk change by kind."""
    rows = connection.execute(
        text("SELECT kind, count(*) FROM m2m.audit_entry WHERE bulk_change_id = :id GROUP BY 1 ORDER BY 1"),
        {"id": bulk_change_id},
    )
    return [(kind, entries) for kind, entries in rows]


def inventory_by_plan(connection: Connection, provider_id: int) -> Sequence[tuple[str, int]]:
    """AMOP's devices of a provider by rate plan, most frequent first."""
    rows = connection.execute(
        text(
            """
            SELECT coalesce(rate_plan, ''), count(*) FROM m2m.device WHERE service_provider_id = :provider
            GROUP BY 1 ORDER BY 2 DESC, 1
            """
        ),
        {"provider": provider_id},
    )
    return [(plan, devices) for plan, devices in rows]


def drift_by_plans(connection: Connection, provider_id: int) -> Sequence[tuple[str, str, str, int]]:
    """Cause, AMOP's plan, the carrier's plan and devices of a provider's open drift, most frequent first."""
    rows = connection.execute(
        text(
            """
            SELECT cause, coalesce(amop_rate_plan, ''), coalesce(carrier_rate_plan, ''), count(*) FROM m2m.drift
            WHERE service_provider_id = :provider AND resolved_at IS NULL GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3
            """
        ),
        {"provider": provider_id},
    )
    return [(cause, amop, carrier, devices) for cause, amop, carrier, devices in rows]


def drift_moves(connection: Connection, provider_id: int, days: int) -> Sequence[tuple[date, str, int]]:
    """Day, cause, and by how many the devices that differ grew on it, over the last `days`; older ones on the first."""
    rows = connection.execute(
        text(
            """
            SELECT greatest(day, current_date - CAST(:days AS int)), cause, sum(step) FROM (
                SELECT CAST(first_seen_at AS date) AS day, cause, 1 AS step FROM m2m.drift
                WHERE service_provider_id = :provider
                UNION ALL
                SELECT CAST(resolved_at AS date), cause, -1 FROM m2m.drift
                WHERE service_provider_id = :provider AND resolved_at IS NOT NULL
            ) steps GROUP BY 1, 2 ORDER BY 1, 2
            """
        ),
        {"provider": provider_id, "days": days},
    )
    return [(day, cause, int(step)) for day, cause, step in rows]


def calls_by_provider(
    connection: Connection, since: datetime, until: datetime
) -> Sequence[tuple[str, str, int, float]]:
    """Tenant, provider, calls of what ended in a time, and the calls that its account's rate allows in it."""
    rows = connection.execute(
        text(
            """
            SELECT t.name AS tenant, p.name AS provider, coalesce(sum(u.carrier_calls), 0) AS calls,
                p.calls_per_second * extract(epoch FROM CAST(:until AS timestamptz) - :since) AS allowed
            FROM m2m.service_provider p JOIN m2m.tenant t ON t.id = p.tenant_id
            LEFT JOIN (
                SELECT service_provider_id, carrier_calls, finished_at FROM m2m.bulk_change
                UNION ALL SELECT service_provider_id, carrier_calls, finished_at FROM m2m.reconciliation_pass
            ) u ON u.service_provider_id = p.id AND u.finished_at >= :since AND u.finished_at < :until
            GROUP BY t.name, p.name, p.calls_per_second ORDER BY calls DESC, 1, 2
            """
        ),
        {"since": since, "until": until},
    )
    return [(row.tenant, row.provider, int(row.calls), float(row.allowed)) for row in rows]


def ended_between(connection: Connection, since: datetime, until: datetime) -> Sequence[Row]:
    """Status, devices and seconds in the queue and at work of each bulk change that ended in a time."""
    rows = connection.execute(
        text(
            """
            SELECT status, (SELECT count(*) FROM m2m.device_change c WHERE c.bulk_change_id = b.id) AS devices,
                (SELECT count(*) FROM m2m.device_change c WHERE c.bulk_change_id = b.id AND c.status = 'PROCESSED')
                    AS changed,
                CAST(extract(epoch FROM started_at - queued_at) AS float8) AS queued_seconds,
                work_seconds
            FROM m2m.bulk_change b WHERE finished_at >= :since AND finished_at < :until ORDER BY id
            """
        ),
        {"since": since, "until": until},
    )
    return [tuple(row) for row in rows]
