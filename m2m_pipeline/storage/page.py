"""The page's sessions, by the SHA-256 of what the browser shows, and the requests prepared in them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, text

from m2m_pipeline.domain.permissions import Principal, Role


@dataclass(frozen=True, slots=True)
class PageSession:
    """Somebody who is signed in at the page. `name` is what they are called there."""

    id: int
    principal: Principal
    name: str


def insert_session(connection: Connection, who: Principal, *, name: str, digest: bytes, lasts: timedelta) -> None:
    """Store a new session."""
    connection.execute(
        text(
            """
            INSERT INTO m2m.page_session (tenant_id, actor, name, role, digest, expires_at)
            VALUES (:tenant, :actor, :name, :role, :digest, clock_timestamp() + :lasts)
            """
        ),
        {
            "tenant": who.tenant_id,
            "actor": who.actor,
            "name": name,
            "role": who.role.value,
            "digest": digest,
            "lasts": lasts,
        },
    )


def find_session(connection: Connection, digest: bytes, idle: timedelta) -> PageSession | None:
    """The session with that digest, unless it has run out or nothing was asked in it for `idle`."""
    row = connection.execute(
        text(
            """
            SELECT s.id, s.actor, s.name, s.role, t.id AS tenant_id, t.name AS tenant
            FROM m2m.page_session s JOIN m2m.tenant t ON t.id = s.tenant_id
            WHERE s.digest = :digest AND s.expires_at > clock_timestamp() AND s.last_seen_at > clock_timestamp() - :idle
            """
        ),
        {"digest": digest, "idle": idle},
    ).first()
    return (
        PageSession(row.id, Principal(row.tenant_id, row.tenant, row.actor, Role(row.role)), row.name) if row else None
    )


def mark_seen(connection: Connection, session_id: int) -> None:
    """Remember when something was last asked in the session, to the minute: a write for each page would be dear."""
    connection.execute(
        text(
            """
            UPDATE m2m.page_session SET last_seen_at = clock_timestamp()
            WHERE id = :id AND last_seen_at < clock_timestamp() - interval '1 minute'
            """
        ),
        {"id": session_id},
    )


def delete_session(connection: Connection, digest: bytes) -> None:
    """End a session, and what was prepared in it."""
    connection.execute(text("DELETE FROM m2m.page_session WHERE digest = :digest"), {"digest": digest})


def delete_stale_sessions(connection: Connection, idle: timedelta) -> None:
    """Forget sessions that hold no more."""
    connection.execute(
        text(
            """
            DELETE FROM m2m.page_session
            WHERE expires_at < clock_timestamp() OR last_seen_at < clock_timestamp() - :idle
            """
        ),
        {"idle": idle},
    )


@dataclass(frozen=True, slots=True)
class Draft:
    """A prepared request; `bulk_change_id` once it was confirmed."""

    id: str
    request: Mapping[str, object]
    bulk_change_id: int | None


def draft_key(draft_id: str) -> str:
    """The idempotency key under which a draft is recorded."""
    return f"page-{draft_id}"


def insert_draft(connection: Connection, session_id: int, draft_id: str, request: Mapping[str, object]) -> None:
    """Keep a prepared request."""
    connection.execute(
        text(
            "INSERT INTO m2m.page_draft (id, page_session_id, request) VALUES (:id, :session, CAST(:request AS jsonb))"
        ),
        {"id": draft_id, "session": session_id, "request": json.dumps(request)},
    )


def delete_older_drafts(connection: Connection, session_id: int, kept: int) -> None:
    """Forget all but the `kept` latest drafts of a session."""
    connection.execute(
        text(
            """
            DELETE FROM m2m.page_draft WHERE id IN (SELECT id FROM m2m.page_draft WHERE page_session_id = :session
                ORDER BY created_at DESC OFFSET :kept)
            """
        ),
        {"session": session_id, "kept": kept},
    )


def find_draft(connection: Connection, session_id: int, draft_id: str) -> Draft | None:
    """The session's draft of that id, or None; what it has become is known by its key, also where it was not marked."""
    row = connection.execute(
        text(
            """
            SELECT d.id, d.request, COALESCE(d.bulk_change_id, b.id) AS bulk_change_id
            FROM m2m.page_draft d JOIN m2m.page_session s ON s.id = d.page_session_id
            LEFT JOIN m2m.bulk_change b ON b.tenant_id = s.tenant_id AND b.idempotency_key = :key
            WHERE d.id = :id AND d.page_session_id = :session
            """
        ),
        {"id": draft_id, "session": session_id, "key": draft_key(draft_id)},
    ).first()
    return Draft(row.id, row.request, row.bulk_change_id) if row else None


def mark_confirmed(connection: Connection, draft_id: str, bulk_change_id: int) -> None:
    """The draft has become a bulk change, which has its devices from now on."""
    connection.execute(
        text("UPDATE m2m.page_draft SET bulk_change_id = :change, request = request - 'devices' WHERE id = :id"),
        {"id": draft_id, "change": bulk_change_id},
    )
