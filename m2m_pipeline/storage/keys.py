"""API keys, by the SHA-256 of what the holder shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Row, text

from m2m_pipeline.domain.permissions import Role

_COLUMNS = "k.id, k.name, k.role, k.created_by, k.created_at, k.last_used_at, k.revoked_at"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it may be shown: nothing in it lets anybody in. Times are UTC."""

    id: int
    name: str
    role: Role
    created_by: str
    created_at: datetime
    last_used_at: datetime | None  # to the minute
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Holder:
    """A key that was shown, and whose it is."""

    key: ApiKey
    tenant_id: int
    tenant: str


def _key(row: Row[tuple[object, ...]]) -> ApiKey:
    return ApiKey(row.id, row.name, Role(row.role), row.created_by, row.created_at, row.last_used_at, row.revoked_at)


def insert(connection: Connection, tenant_id: int, *, name: str, role: Role, digest: bytes, created_by: str) -> ApiKey:
    """Store a new key."""
    row = connection.execute(
        text(
            f"""
            INSERT INTO m2m.api_key AS k (tenant_id, name, role, digest, created_by)
            VALUES (:tenant, :name, :role, :digest, :created_by) RETURNING {_COLUMNS}
            """
        ),
        {"tenant": tenant_id, "name": name, "role": role.value, "digest": digest, "created_by": created_by},
    ).one()
    return _key(row)


def find_holder(connection: Connection, digest: bytes) -> Holder | None:
    """The key with that digest, revoked or not, or None."""
    row = connection.execute(
        text(
            f"""
            SELECT {_COLUMNS}, t.id AS tenant_id, t.name AS tenant
            FROM m2m.api_key k JOIN m2m.tenant t ON t.id = k.tenant_id
            WHERE k.digest = :digest
            """
        ),
        {"digest": digest},
    ).first()
    return Holder(_key(row), row.tenant_id, row.tenant) if row else None


def mark_used(connection: Connection, key_id: int) -> None:
    """Remember when the key was last used, to the minute: a write for each request would be dear."""
    connection.execute(
        text(
            """
            UPDATE m2m.api_key SET last_used_at = clock_timestamp()
            WHERE id = :id AND (last_used_at IS NULL OR last_used_at < clock_timestamp() - interval '1 minute')
            """
        ),
        {"id": key_id},
    )


def list_all(connection: Connection, tenant_id: int) -> Sequence[ApiKey]:
    """A tenant's keys, the revoked ones too, in the order in which they were made."""
    rows = connection.execute(
        text(f"SELECT {_COLUMNS} FROM m2m.api_key k WHERE k.tenant_id = :tenant ORDER BY k.id"),
        {"tenant": tenant_id},
    )
    return [_key(row) for row in rows]


def revoke(connection: Connection, tenant_id: int, key_id: int) -> ApiKey | None:
    """Have the tenant's key hold no more; None where the tenant has none of that id, or it was revoked before."""
    row = connection.execute(
        text(
            f"""
            UPDATE m2m.api_key k SET revoked_at = clock_timestamp()
            WHERE k.id = :id AND k.tenant_id = :tenant AND k.revoked_at IS NULL RETURNING {_COLUMNS}
            """
        ),
        {"id": key_id, "tenant": tenant_id},
    ).first()
    return _key(row) if row else None
