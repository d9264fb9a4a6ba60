"""The outbox: notices are written with what they tell, and claimed for delivery for a bounded time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Row, text

from m2m_pipeline.domain.notices import Event, EventType, NoticeStatus
from m2m_pipeline.storage.destinations import StoredDestination, stored_destination

_COLUMNS = (
    "n.id, n.event_id, n.event_type, n.body, n.status, n.attempts, n.created_at, n.next_attempt_at, n.last_failure, "
    "n.bulk_change_id, n.ended_at, n.destination_id, d.tenant_id, d.kind, d.address, d.secret, d.previous_secret"
)
_FROM = "m2m.notice n JOIN m2m.notice_destination d ON d.id = n.destination_id"


@dataclass(frozen=True, slots=True)
class StoredNotice:
    """One event for one destination, and how far it is."""

    id: int
    event: Event
    destination: StoredDestination
    status: NoticeStatus
    attempts: int
    created_at: datetime
    next_attempt_at: datetime
    last_failure: str | None
    bulk_change_id: int | None
    ended_at: datetime | None


def _notice(row: Row[tuple[object, ...]]) -> StoredNotice:
    return StoredNotice(
        id=row.id,
        event=Event(row.event_id, EventType(row.event_type), row.body),
        destination=stored_destination(row, row.destination_id),
        status=NoticeStatus(row.status),
        attempts=row.attempts,
        created_at=row.created_at,
        next_attempt_at=row.next_attempt_at,
        last_failure=row.last_failure,
        bulk_change_id=row.bulk_change_id,
        ended_at=row.ended_at,
    )


def write(connection: Connection, tenant_id: int | None, event: Event, bulk_change_id: int | None = None) -> int:
    """One notice for each destination of the tenant (or, None, of the operators); how many."""
    return connection.execute(
        text(
            """
            INSERT INTO m2m.notice (tenant_id, destination_id, event_id, event_type, bulk_change_id, body)
            SELECT tenant_id, id, :event, :type, :bulk_change, :body FROM m2m.notice_destination
            WHERE tenant_id IS NOT DISTINCT FROM CAST(:tenant AS bigint) AND removed_at IS NULL
            """
        ),
        {
            "tenant": tenant_id,
            "event": event.id,
            "type": event.type.value,
            "bulk_change": bulk_change_id,
            "body": event.body,
        },
    ).rowcount


def claim(
    connection: Connection, limit: int, each: int, seconds: float, *, operators_only: bool = False
) -> Sequence[StoredNotice]:
    """Take notices that are due, at most `each` of a destination, for `seconds`: then whoever asks takes them again.

    A destination that does not answer takes no other's place. `operators_only`: of no tenant.
    """
    rows = connection.execute(
        text(
            f"""
            WITH due AS MATERIALIZED (
                SELECT id, row_number() OVER (PARTITION BY destination_id ORDER BY next_attempt_at, id) AS place
                FROM m2m.notice WHERE status = 'PENDING' AND next_attempt_at <= clock_timestamp()
                    AND (tenant_id IS NULL OR NOT :operators_only)
            ), taken AS MATERIALIZED (
                SELECT id FROM m2m.notice
                WHERE id IN (SELECT id FROM due WHERE place <= :each) AND status = 'PENDING'
                    AND next_attempt_at <= clock_timestamp()
                ORDER BY next_attempt_at, id LIMIT :limit FOR UPDATE SKIP LOCKED
            ), n AS (
                UPDATE m2m.notice SET attempts = attempts + 1,
                    next_attempt_at = clock_timestamp() + make_interval(secs => :seconds)
                WHERE id IN (SELECT id FROM taken) RETURNING *
            )
            SELECT {_COLUMNS} FROM n JOIN m2m.notice_destination d ON d.id = n.destination_id ORDER BY n.id
            """
        ),
        {"limit": limit, "each": each, "seconds": seconds, "operators_only": operators_only},
    )
    return [_notice(row) for row in rows]


def mark_delivered(connection: Connection, notice_id: int) -> None:
    """The destination has it."""
    connection.execute(
        text(
            """
            UPDATE m2m.notice SET status = 'DELIVERED', ended_at = clock_timestamp(), last_failure = NULL
            WHERE id = :id AND status <> 'DELIVERED'
            """
        ),
        {"id": notice_id},
    )


def postpone(
    connection: Connection, notice: StoredNotice, why: str, delay: float, patience: float, *, final: bool
) -> bool:
    """Try again in `delay` seconds; False, and given up, where that is beyond the patience (seconds), or `final`.

    Nothing is done where somebody else has claimed it meanwhile.
    """
    row = connection.execute(
        text(
            """
            UPDATE m2m.notice SET last_failure = :why,
                status = CASE WHEN late THEN 'DEAD' ELSE 'PENDING' END,
                ended_at = CASE WHEN late THEN clock_timestamp() END,
                next_attempt_at = clock_timestamp() + make_interval(secs => :delay)
            FROM (SELECT id AS judged, :final OR clock_timestamp() + make_interval(secs => :delay)
                > trying_since + make_interval(secs => :patience) AS late FROM m2m.notice WHERE id = :id) AS judgement
            WHERE id = judged AND status = 'PENDING' AND attempts = :attempts RETURNING status
            """
        ),
        {
            "id": notice.id,
            "attempts": notice.attempts,
            "why": why,
            "delay": delay,
            "patience": patience,
            "final": final,
        },
    ).first()
    return row is None or row.status != NoticeStatus.DEAD


def revive(connection: Connection, tenant_id: int | None, notice_id: int) -> bool:
    """Drive a dead notice again; False where it is none of the tenant's, not dead, or its destination is removed."""
    return (
        connection.execute(
            text(
                """
                UPDATE m2m.notice SET status = 'PENDING', attempts = 0, ended_at = NULL,
                    next_attempt_at = clock_timestamp(), trying_since = clock_timestamp()
                WHERE id = :id AND status = 'DEAD' AND tenant_id IS NOT DISTINCT FROM CAST(:tenant AS bigint)
                    AND EXISTS (SELECT 1 FROM m2m.notice_destination d
                        WHERE d.id = destination_id AND d.removed_at IS NULL)
                """
            ),
            {"id": notice_id, "tenant": tenant_id},
        ).rowcount
        == 1
    )


def list_latest(
    connection: Connection, tenant_id: int | None, status: NoticeStatus | None, limit: int
) -> Sequence[StoredNotice]:
    """The tenant's (or, None, the operators') notices, the latest first; only those of a status, where it is given."""
    rows = connection.execute(
        text(
            f"""
            SELECT {_COLUMNS} FROM {_FROM} WHERE n.tenant_id IS NOT DISTINCT FROM CAST(:tenant AS bigint)
                AND (CAST(:status AS text) IS NULL OR n.status = :status) ORDER BY n.id DESC LIMIT :limit
            """
        ),
        {"tenant": tenant_id, "status": status, "limit": limit},
    )
    return [_notice(row) for row in rows]


def count_endings(connection: Connection, bulk_change_id: int) -> int:
    """How often the end of a bulk change has been told."""
    return connection.execute(
        text(
            """
            SELECT count(*) FROM m2m.audit_entry
            WHERE bulk_change_id = :id AND device_change_id IS NULL AND kind = 'BULK_CHANGE_ENDED'
            """
        ),
        {"id": bulk_change_id},
    ).scalar_one()
