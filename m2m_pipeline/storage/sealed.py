"""Every column that holds what the vault has sealed: the one list that a change of keys goes by."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column of ciphertexts, and the column that names its row."""

    table: str
    row: str
    column: str


SEALED = (
    SealedColumn("carrier_credential", "service_provider_id", "ciphertext"),
    SealedColumn("notice_destination", "id", "secret"),
    SealedColumn("notice_destination", "id", "previous_secret"),
)


def lock_next(connection: Connection, where: SealedColumn, after: int, limit: int) -> Sequence[tuple[int, bytes]]:
    """The next rows beyond `after` with their ciphertexts, locked until the transaction ends."""
    rows = connection.execute(
        text(
            f"""
            SELECT {where.row} AS row, {where.column} AS sealed FROM m2m.{where.table}
            WHERE {where.row} > :after AND {where.column} IS NOT NULL
            ORDER BY {where.row} LIMIT :limit FOR UPDATE
            """
        ),
        {"after": after, "limit": limit},
    )
    return [(one.row, bytes(one.sealed)) for one in rows]


def replace(connection: Connection, where: SealedColumn, row: int, sealed: bytes) -> None:
    """Store the same secret sealed anew."""
    connection.execute(
        text(f"UPDATE m2m.{where.table} SET {where.column} = :sealed WHERE {where.row} = :row"),
        {"row": row, "sealed": sealed},
    )
