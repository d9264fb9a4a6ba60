"""Idempotency keys: which request of a tenant has one, and who is recording it at this moment."""

from datetime import timedelta

from sqlalchemy import Connection, text


def find(connection: Connection, tenant_id: int, key: str) -> tuple[int, str] | None:
    """Id and request digest of the bulk change with that idempotency key, or None."""
    row = connection.execute(
        text("SELECT id, request_digest FROM m2m.bulk_change WHERE tenant_id = :tenant AND idempotency_key = :key"),
        {"tenant": tenant_id, "key": key},
    ).first()
    return (row.id, row.request_digest) if row else None


def claim(connection: Connection, tenant_id: int, key: str) -> bool:
    """Take an idempotency key for this transaction; False where another one has it just now."""
    return connection.execute(
        text("SELECT pg_try_advisory_xact_lock(hashtextextended(:tenant || ':' || :key, 0))"),
        {"tenant": str(tenant_id), "key": key},
    ).scalar_one()


def hold(connection: Connection, tenant_id: int, key: str) -> None:
    """Take an idempotency key for this transaction once no other one has it: what that recorded is seen from now on."""
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:tenant || ':' || :key, 0))"),
        {"tenant": str(tenant_id), "key": key},
    )


def release(connection: Connection, tenant_id: int, key: str, kept: timedelta) -> None:
    """Free an idempotency key that was used longer ago than keys are kept."""
    connection.execute(
        text(
            """
            UPDATE m2m.bulk_change SET idempotency_key = NULL
            WHERE tenant_id = :tenant AND idempotency_key = :key AND created_at < clock_timestamp() - :kept
            """
        ),
        {"tenant": tenant_id, "key": key, "kept": kept},
    )
