"""What holds now, as queries; the alerts that are open; and the signs of life."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from m2m_pipeline.domain.alerts import (
    BREAKER_LIMIT_SECONDS,
    DRIFT_LIMIT_DEVICES,
    ENDED_WITHIN_HOURS,
    FRUITLESS_ATTEMPTS,
    QUEUE_LIMIT_SECONDS,
    AlertName,
    Finding,
)
from m2m_pipeline.domain.drift import DRIFT

_ENDED = """
    SELECT 'bulk change ' || b.id AS subject, 'Tenant ' || t.name || ', provider ' || p.name || '.' AS detail
    FROM m2m.bulk_change b JOIN m2m.tenant t ON t.id = b.tenant_id
    JOIN m2m.service_provider p ON p.id = b.service_provider_id
    WHERE b.status = '{status}' AND b.finished_at > clock_timestamp() - make_interval(hours => :hours)
"""

CONDITIONS: Mapping[AlertName, tuple[str, Mapping[str, object]]] = {
    AlertName.CHANGE_FAILED: (_ENDED.format(status="FAILED"), {"hours": int(ENDED_WITHIN_HOURS)}),
    AlertName.CHANGE_PARTIAL: (_ENDED.format(status="PARTIAL"), {"hours": int(ENDED_WITHIN_HOURS)}),
    AlertName.BREAKER_OPEN: (
        """
        SELECT 'provider ' || p.name || ' of ' || t.name AS subject, 'No answer since '
            || to_char(to_timestamp(g.open_since) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC.' AS detail
        FROM m2m.carrier_credential c JOIN m2m.service_provider p ON p.id = c.service_provider_id
        JOIN m2m.carrier_gate g
            ON g.account = split_part(split_part(p.base_url, '://', 2), '/', 1) || '/' || c.username
        JOIN m2m.tenant t ON t.id = p.tenant_id
        WHERE g.open_since < extract(epoch FROM clock_timestamp()) - :seconds
        """,
        {"seconds": BREAKER_LIMIT_SECONDS},
    ),
    AlertName.QUEUE_STUCK: (
        """
        SELECT 'queue' AS subject, 'Bulk change ' || min(id) || ' waits, and ' || count(*) - 1 || ' more.' AS detail
        FROM m2m.bulk_change
        WHERE status = 'QUEUED' AND attempt_queued_at < clock_timestamp() - make_interval(secs => :seconds)
            AND NOT EXISTS (SELECT 1 FROM m2m.bulk_change w WHERE w.status = 'PROCESSING'
                AND w.lease_expires_at > clock_timestamp())
        HAVING count(*) > 0
        """,
        {"seconds": QUEUE_LIMIT_SECONDS},
    ),
    AlertName.ATTEMPTS_DIE: (
        """
        SELECT 'bulk change ' || id AS subject, fruitless_attempts || ' attempts in a row came to nothing.' AS detail
        FROM m2m.bulk_change WHERE status IN ('QUEUED', 'PROCESSING') AND fruitless_attempts >= :attempts
        """,
        {"attempts": FRUITLESS_ATTEMPTS},
    ),
    AlertName.DRIFT: (
        """
        SELECT 'provider ' || p.name || ' of ' || t.name AS subject, count(*) || ' devices differ.' AS detail
        FROM m2m.drift d JOIN m2m.service_provider p ON p.id = d.service_provider_id
        JOIN m2m.tenant t ON t.id = p.tenant_id
        WHERE d.resolved_at IS NULL AND d.cause = ANY(:causes) GROUP BY p.name, t.name HAVING count(*) > :devices
        """,
        {
            "causes": sorted(DRIFT),
            "devices": DRIFT_LIMIT_DEVICES,
        },
    ),
    AlertName.NOTICES_DEAD: (
        """
        SELECT 'destination ' || d.id || coalesce(' of ' || t.name, ' of the operators') AS subject,
            count(*) || ' notices, the last: ' || max(n.last_failure) AS detail
        FROM m2m.notice n JOIN m2m.notice_destination d ON d.id = n.destination_id
        LEFT JOIN m2m.tenant t ON t.id = d.tenant_id
        WHERE n.status = 'DEAD' AND d.removed_at IS NULL
            AND n.ended_at > clock_timestamp() - make_interval(hours => :hours) GROUP BY d.id, t.name
        """,
        {"hours": int(ENDED_WITHIN_HOURS)},
    ),
}
"""One query for each alert that the database can tell of: subject and detail of what holds now."""


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert from when it was raised until it is resolved."""

    name: AlertName
    subject: str
    detail: str
    since: datetime


def find(connection: Connection) -> Sequence[Finding]:
    """Everything that holds now."""
    return [
        Finding(name, row.subject, row.detail)
        for name, (statement, values) in CONDITIONS.items()
        for row in connection.execute(text(statement), dict(values))
    ]


def lock(connection: Connection) -> None:
    """One watcher at a time, until the end of the transaction."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('m2m.alert'))"))


def list_open(connection: Connection) -> Sequence[OpenAlert]:
    """The open alerts, the oldest first."""
    rows = connection.execute(
        text("SELECT name, subject, detail, since FROM m2m.alert WHERE resolved_at IS NULL ORDER BY id")
    )
    return [OpenAlert(AlertName(row.name), row.subject, row.detail, row.since) for row in rows]


def see(connection: Connection, found: Iterable[Finding]) -> Sequence[Finding]:
    """Raise what is new, and note of the rest that it still holds; what is new."""
    statement = text(
        """
        INSERT INTO m2m.alert (name, subject, detail) VALUES (:name, :subject, :detail)
        ON CONFLICT (name, subject) WHERE resolved_at IS NULL
        DO UPDATE SET last_seen = clock_timestamp(), detail = excluded.detail RETURNING xmax = 0 AS is_new
        """
    )
    return [
        one
        for one in found
        if connection.execute(
            statement, {"name": one.name.value, "subject": one.subject, "detail": one.detail}
        ).scalar_one()
    ]


def resolve(connection: Connection, name: AlertName, subject: str) -> None:
    """It holds no longer."""
    connection.execute(
        text(
            """
            UPDATE m2m.alert SET resolved_at = clock_timestamp()
            WHERE name = :name AND subject = :subject AND resolved_at IS NULL
            """
        ),
        {"name": name.value, "subject": subject},
    )


def beat(connection: Connection, name: str) -> None:
    """Leave a sign of life."""
    connection.execute(
        text(
            """
            INSERT INTO m2m.heartbeat (name) VALUES (:name)
            ON CONFLICT (name) DO UPDATE SET at = clock_timestamp()
            """
        ),
        {"name": name},
    )


def quiet_seconds(connection: Connection, name: str) -> float | None:
    """Seconds since the last sign of life; None where there never was one."""
    return connection.execute(
        text("SELECT extract(epoch FROM clock_timestamp() - at)::float8 FROM m2m.heartbeat WHERE name = :name"),
        {"name": name},
    ).scalar()
