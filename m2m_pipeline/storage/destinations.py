"""Where notices go, with the sealed secrets of webhooks."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, text

from m2m_pipeline.domain.notices import DestinationKind

_COLUMNS = "id, tenant_id, kind, address, secret, previous_secret"


@dataclass(frozen=True, slots=True)
class StoredDestination:
    """A destination as it is stored: its secrets sealed, the newest first."""

    id: int
    tenant_id: int | None
    kind: DestinationKind
    address: str
    sealed: tuple[bytes, ...]


def stored_destination(row: Row[tuple[object, ...]], destination_id: int) -> StoredDestination:
    """The destination of a row that holds its columns."""
    sealed = tuple(bytes(one) for one in (row.secret, row.previous_secret) if one is not None)
    return StoredDestination(destination_id, row.tenant_id, DestinationKind(row.kind), row.address, sealed)


def next_id(connection: Connection) -> int:
    """The id of a destination to be: its secret is sealed with it."""
    return connection.execute(
        text("SELECT nextval(pg_get_serial_sequence('m2m.notice_destination', 'id'))")
    ).scalar_one()


def insert(connection: Connection, destination: StoredDestination) -> None:
    """Add a destination."""
    connection.execute(
        text(
            """
            INSERT INTO m2m.notice_destination (id, tenant_id, kind, address, secret)
            VALUES (:id, :tenant, :kind, :address, :secret)
            """
        ),
        {
            "id": destination.id,
            "tenant": destination.tenant_id,
            "kind": destination.kind.value,
            "address": destination.address,
            "secret": destination.sealed[0] if destination.sealed else None,
        },
    )


def find_address(
    connection: Connection, tenant_id: int | None, kind: DestinationKind, address: str
) -> StoredDestination | None:
    """The tenant's (or, None, the operators') destination of that address, locked, or None."""
    row = connection.execute(
        text(
            f"""
            SELECT {_COLUMNS} FROM m2m.notice_destination
            WHERE tenant_id IS NOT DISTINCT FROM CAST(:tenant AS bigint) AND kind = :kind AND address = :address
                AND removed_at IS NULL FOR UPDATE
            """
        ),
        {"tenant": tenant_id, "kind": kind.value, "address": address},
    ).first()
    return stored_destination(row, row.id) if row else None


def rotate(connection: Connection, destination_id: int, secret: bytes) -> None:
    """A new secret beside the newest of those before; any older one is gone."""
    connection.execute(
        text("UPDATE m2m.notice_destination SET previous_secret = secret, secret = :secret WHERE id = :id"),
        {"id": destination_id, "secret": secret},
    )


def retire(connection: Connection, destination_id: int) -> None:
    """Only the newest secret signs."""
    connection.execute(
        text("UPDATE m2m.notice_destination SET previous_secret = NULL WHERE id = :id"), {"id": destination_id}
    )


def list_all(connection: Connection, tenant_id: int | None) -> Sequence[StoredDestination]:
    """The tenant's (or, None, the operators') destinations by id."""
    rows = connection.execute(
        text(
            f"""
            SELECT {_COLUMNS} FROM m2m.notice_destination
            WHERE tenant_id IS NOT DISTINCT FROM CAST(:tenant AS bigint) AND removed_at IS NULL ORDER BY id
            """
        ),
        {"tenant": tenant_id},
    )
    return [stored_destination(row, row.id) for row in rows]


def remove(connection: Connection, tenant_id: int | None, destination_id: int, why: str) -> bool:
    """Remove a destination, and give up what waits for it; False where the tenant has none of that id."""
    removed = connection.execute(
        text(
            """
            UPDATE m2m.notice_destination SET removed_at = clock_timestamp()
            WHERE id = :id AND tenant_id IS NOT DISTINCT FROM CAST(:tenant AS bigint) AND removed_at IS NULL
            """
        ),
        {"id": destination_id, "tenant": tenant_id},
    ).rowcount
    connection.execute(
        text(
            """
            UPDATE m2m.notice SET status = 'DEAD', ended_at = clock_timestamp(), last_failure = :why
            WHERE destination_id = :id AND status = 'PENDING' AND :removed
            """
        ),
        {"id": destination_id, "why": why, "removed": removed == 1},
    )
    return removed == 1
