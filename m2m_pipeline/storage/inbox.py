"""Messages that were received, each recorded once."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, text

from m2m_pipeline.domain.inbox import InboxStatus, Message, Received
from m2m_pipeline.domain.problems import Problem
from m2m_pipeline.domain.reasons import ReasonCode

_COLUMNS = "message_id, idempotency_key, sender, status, bulk_change_id, problems, received_at"


def _received(row: Row[tuple[object, ...]]) -> Received:
    return Received(
        message_id=row.message_id,
        idempotency_key=row.idempotency_key,
        sender=row.sender,
        status=InboxStatus(row.status),
        bulk_change_id=row.bulk_change_id,
        problems=tuple(_problem(one) for one in row.problems),
        received_at=row.received_at,
    )


def require_writable(connection: Connection) -> None:
    """Insert nothing: refused where an insertion would be, as by tables of yesterday or a server that only reads."""
    connection.execute(
        text(
            """
            INSERT INTO m2m.inbox_message (tenant_id, message_id, sender, status, problems)
            SELECT tenant_id, message_id, sender, status, problems FROM m2m.inbox_message WHERE false
            """
        )
    )


def insert(
    connection: Connection,
    tenant_id: int,
    message: Message,
    key: str | None,
    *,
    bulk_change_id: int | None = None,
    problems: Sequence[Problem] = (),
) -> Received:
    """Record what became of a message: its bulk change, or its problems."""
    return _received(
        connection.execute(
            text(
                f"""
                INSERT INTO m2m.inbox_message (tenant_id, message_id, idempotency_key, sender, status, bulk_change_id,
                    problems)
                VALUES (:tenant, :message, :key, :sender, :status, :bulk_change, CAST(:problems AS jsonb))
                RETURNING {_COLUMNS}
                """
            ),
            {
                "tenant": tenant_id,
                "message": message.id,
                "key": key,
                "sender": message.sender,
                "status": (InboxStatus.REJECTED if problems else InboxStatus.ACCEPTED).value,
                "bulk_change": bulk_change_id,
                "problems": json.dumps([_storable(problem) for problem in problems]),
            },
        ).one()
    )


def find(connection: Connection, tenant_id: int, message_id: str) -> Received | None:
    """The record of a tenant's message, or None."""
    row = connection.execute(
        text(f"SELECT {_COLUMNS} FROM m2m.inbox_message WHERE tenant_id = :tenant AND message_id = :message"),
        {"tenant": tenant_id, "message": message_id},
    ).first()
    return _received(row) if row else None


def list_latest(connection: Connection, tenant_id: int, reference: str | None, limit: int) -> Sequence[Received]:
    """A tenant's messages, the latest first; only those with `reference` as message id or key, where it is given."""
    rows = connection.execute(
        text(
            f"""
            SELECT {_COLUMNS} FROM m2m.inbox_message
            WHERE tenant_id = :tenant AND (CAST(:reference AS text) IS NULL OR message_id = :reference
                OR idempotency_key = :reference)
            ORDER BY id DESC LIMIT :limit
            """
        ),
        {"tenant": tenant_id, "reference": reference, "limit": limit},
    )
    return [_received(row) for row in rows]


def _problem(stored: Mapping[str, Any]) -> Problem:
    return Problem(ReasonCode(stored["code"]), stored["message"], stored["field"], stored["value"], stored["row"])


def _storable(problem: Problem) -> dict[str, object]:
    """A problem repeats what the sender wrote, and PostgreSQL stores no NUL.

    Its location is for whoever has the body before him.
    """
    fields: dict[str, object] = asdict(problem)
    del fields["location"]
    return {name: value.replace("\0", "\ufffd") if isinstance(value, str) else value for name, value in fields.items()}
