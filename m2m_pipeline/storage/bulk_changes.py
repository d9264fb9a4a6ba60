"""Bulk changes: request, queue and lease (`storage.leases`) are one row, so that they cannot disagree."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, Row, text

from m2m_pipeline.domain.attempt import Attempt
from m2m_pipeline.domain.change import BulkChange
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.status import ENDED_BULK_CHANGES, BulkChangeStatus, bulk_change_sources
from m2m_pipeline.storage.leases import COUNT_WORK

_COLUMNS = (
    "id, tenant_id, service_provider_id, status, rate_plan, communication_plan, effective_date, batch_size, priority, "
    "requested_by, attempt, reason, message, carrier_calls, work_seconds, created_at, queued_at, started_at, "
    "finished_at, settled_at, result"
)


@dataclass(frozen=True, slots=True)
class NewBulkChange:
    """What is recorded of an accepted request, its rows aside."""

    tenant_id: int
    service_provider_id: int
    rate_plan: str
    communication_plan: str | None
    effective_date: date | None
    batch_size: int
    priority: int
    requested_by: str
    request: Mapping[str, object]
    request_digest: str
    idempotency_key: str | None


def _bulk_change(row: Row[tuple[object, ...]]) -> BulkChange:
    return BulkChange(
        id=row.id,
        tenant_id=row.tenant_id,
        service_provider_id=row.service_provider_id,
        status=BulkChangeStatus(row.status),
        rate_plan=row.rate_plan,
        communication_plan=row.communication_plan,
        effective_date=row.effective_date,
        batch_size=row.batch_size,
        priority=row.priority,
        requested_by=row.requested_by,
        attempt=row.attempt,
        reason=ReasonCode(row.reason) if row.reason else None,
        message=row.message,
        carrier_calls=row.carrier_calls,
        work_seconds=row.work_seconds,
        created_at=row.created_at,
        queued_at=row.queued_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        settled_at=row.settled_at,
        result=row.result,
    )


def insert(connection: Connection, new: NewBulkChange) -> int:
    """Record a request as NEW; its id."""
    return connection.execute(
        text(
            """
            INSERT INTO m2m.bulk_change (tenant_id, service_provider_id, status, rate_plan, communication_plan,
                effective_date, batch_size, priority, requested_by, request, request_digest, idempotency_key)
            VALUES (:tenant, :provider, 'NEW', :rate_plan, :communication_plan, :effective_date, :batch_size,
                :priority, :requested_by, CAST(:request AS jsonb), :request_digest, :idempotency_key)
            RETURNING id
            """
        ),
        {
            "tenant": new.tenant_id,
            "provider": new.service_provider_id,
            "rate_plan": new.rate_plan,
            "communication_plan": new.communication_plan,
            "effective_date": new.effective_date,
            "batch_size": new.batch_size,
            "priority": new.priority,
            "requested_by": new.requested_by,
            "request": json.dumps(new.request),
            "request_digest": new.request_digest,
            "idempotency_key": new.idempotency_key,
        },
    ).scalar_one()


def queue(connection: Connection, bulk_change_id: int) -> bool:
    """Give a recorded bulk change its place in the queue; False where it is not NEW."""
    return (
        connection.execute(
            text(
                """
                UPDATE m2m.bulk_change
                SET status = 'QUEUED', attempt = attempt + 1, queued_at = clock_timestamp(),
                    attempt_queued_at = clock_timestamp()
                WHERE id = :id AND status = 'NEW'
                """
            ),
            {"id": bulk_change_id},
        ).rowcount
        == 1
    )


def withdraw(connection: Connection, bulk_change_id: int, message: str) -> bool:
    """Remember of a recorded bulk change that somebody declines it; False where it is not NEW."""
    return (
        connection.execute(
            text(
                """
                UPDATE m2m.bulk_change SET reason = 'WITHDRAWN', message = :message WHERE id = :id AND status = 'NEW'
                """
            ),
            {"id": bulk_change_id, "message": message},
        ).rowcount
        == 1
    )


def queue_again(connection: Connection, bulk_change_id: int) -> bool:
    """Queue an ended bulk change for a new attempt; False where its end is final, or somebody is settling it."""
    return (
        connection.execute(
            text(
                """
                UPDATE m2m.bulk_change
                SET status = 'QUEUED', attempt = attempt + 1, fruitless_attempts = 0, queued_at = clock_timestamp(),
                    attempt_queued_at = clock_timestamp(), started_at = NULL, finished_at = NULL, settled_at = NULL,
                    reason = NULL, message = NULL, result = NULL, lease_owner = NULL, lease_expires_at = NULL
                WHERE id = :id AND status = ANY(:sources) AND (lease_owner IS NULL OR lease_expires_at <
                    clock_timestamp())
                """
            ),
            {
                "id": bulk_change_id,
                "sources": sorted(bulk_change_sources(BulkChangeStatus.QUEUED) & ENDED_BULK_CHANGES),
            },
        ).rowcount
        == 1
    )


def find(connection: Connection, bulk_change_id: int, tenant_id: int | None = None) -> BulkChange | None:
    """The bulk change of that id (of that tenant, where one is named), or None."""
    row = connection.execute(
        text(
            f"""
            SELECT {_COLUMNS} FROM m2m.bulk_change
            WHERE id = :id AND (CAST(:tenant AS bigint) IS NULL OR tenant_id = :tenant)
            """
        ),
        {"id": bulk_change_id, "tenant": tenant_id},
    ).first()
    return _bulk_change(row) if row else None


def take_turn(connection: Connection, tenant_name: str, crowd: int) -> None:
    """Wait, where the tenant has room for fewer than `crowd` more, for the one who records: then it is this one's turn.

    It lasts until the end of the transaction, which sees from now on what those before it have recorded.
    """
    connection.execute(
        text(
            """
            SELECT pg_advisory_xact_lock(hashtextextended('turn of tenant ' || t.id, 0)) FROM m2m.tenant t
            WHERE t.name = :tenant AND t.max_open_changes - (SELECT count(*) FROM m2m.bulk_change b
                WHERE b.tenant_id = t.id AND b.status <> ALL(:ended)) BETWEEN 1 AND :crowd - 1
            """
        ),
        {"tenant": tenant_name, "ended": sorted(ENDED_BULK_CHANGES), "crowd": crowd},
    )


def count_open(connection: Connection, tenant_id: int) -> int:
    """A tenant's bulk changes that have not ended."""
    return connection.execute(
        text("SELECT count(*) FROM m2m.bulk_change WHERE tenant_id = :tenant AND status <> ALL(:ended)"),
        {"tenant": tenant_id, "ended": sorted(ENDED_BULK_CHANGES)},
    ).scalar_one()


def request_of(connection: Connection, bulk_change_id: int) -> Mapping[str, object]:
    """The request of a bulk change as it is kept: without its devices, with their number."""
    return connection.execute(
        text("SELECT request FROM m2m.bulk_change WHERE id = :id"), {"id": bulk_change_id}
    ).scalar_one()


def stop(connection: Connection, attempt: Attempt, reason: ReasonCode, message: str) -> None:
    """Remember why nothing more is sent; the first reason stays."""
    connection.execute(
        text("UPDATE m2m.bulk_change SET reason = :reason, message = :message WHERE id = :id AND reason IS NULL"),
        {"id": attempt.bulk_change_id, "reason": reason.value, "message": message},
    )


def count_calls(connection: Connection, attempt: Attempt, calls: int) -> None:
    """Add calls made at the carrier, and the time until now in which they were made."""
    connection.execute(
        text(f"UPDATE m2m.bulk_change SET carrier_calls = carrier_calls + :calls, {COUNT_WORK} WHERE id = :id"),
        {"id": attempt.bulk_change_id, "calls": calls},
    )


def end(connection: Connection, bulk_change_id: int, status: BulkChangeStatus) -> None:
    """End the bulk change and give the lease back. Where it had ended before, that moment stays: it was settled now."""
    connection.execute(
        text(
            f"""
            UPDATE m2m.bulk_change
            SET status = :status, finished_at = coalesce(finished_at, clock_timestamp()),
                settled_at = CASE WHEN finished_at IS NOT NULL THEN clock_timestamp() END,
                lease_owner = NULL, lease_expires_at = NULL, {COUNT_WORK}
            WHERE id = :id AND (status = ANY(:sources) OR status = :status)
            """
        ),
        {"id": bulk_change_id, "status": status.value, "sources": sorted(bulk_change_sources(status))},
    )


def store_result(connection: Connection, bulk_change_id: int, result: Mapping[str, object]) -> None:
    """Keep the result document of an ended bulk change."""
    connection.execute(
        text("UPDATE m2m.bulk_change SET result = CAST(:result AS jsonb) WHERE id = :id"),
        {"id": bulk_change_id, "result": json.dumps(result)},
    )
