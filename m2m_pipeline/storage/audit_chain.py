"""The chain over the audit log: which entries have no link yet, and the links that are there."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import Connection, Row, text
from sqlalchemy.exc import OperationalError

from m2m_pipeline.domain.audit_chain import FIELDS, GENESIS, LATE, Link, Value
from m2m_pipeline.storage.connections import READS_ONLY

_SEALING_LOCK = 1_948_202  # any constant; the number only has to be ours


@dataclass(frozen=True, slots=True)
class Unsealed:
    """An entry without a link: its tenant, and the values of FIELDS."""

    tenant_id: int
    entry: Sequence[Value]


@dataclass(frozen=True, slots=True)
class Sealing:
    """One look through the log: the moment at which it began, and the id beyond which it looks."""

    at: str
    after: int


def _time(column: str) -> str:
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


def _selected(field: str) -> str:
    if field == "at":
        return _time("e.at")
    return f"e.{field}::text" if field in {"request", "response"} else f"e.{field}"


_ENTRY = ", ".join(_selected(field) for field in FIELDS)


def lock(connection: Connection) -> None:
    """Be the only one who seals, until the transaction ends. Nobody who writes entries waits for it."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SEALING_LOCK})


def begin_sealing(connection: Connection, *, all_of_it: bool) -> Sealing:
    """Where a look for entries without a link begins: at the first, or where all before are known to be sealed.

    A transaction may commit entries with lower ids than those that were sealed before it ended. The last look found all
    that had been committed when it began; so what it can have missed was written by a transaction that was open then,
    and none stays open longer than LATE.
    """
    known = """
        SELECT (SELECT e.id FROM m2m.audit_entry e WHERE e.id <= l.entry_id AND e.at < l.sealed_at -
            CAST(:late AS interval) ORDER BY e.id DESC LIMIT 1)
        FROM m2m.audit_link l ORDER BY l.entry_id DESC LIMIT 1
    """
    after = None if all_of_it else connection.execute(text(known), {"late": LATE}).scalar()
    at = connection.execute(text(f"SELECT {_time('now()')}")).scalar_one()
    return Sealing(at, after or 0)


def find_end(connection: Connection, after: int, most: int) -> int | None:
    """The id of the last of the next `most` entries beyond `after`, sealed or not; None where there is none."""
    return connection.execute(
        text(
            """
            SELECT max(id) FROM (SELECT id FROM m2m.audit_entry WHERE id > :after ORDER BY id LIMIT :most) AS next
            """
        ),
        {"after": after, "most": most},
    ).scalar()


def list_unsealed(connection: Connection, after: int, end: int) -> Sequence[Unsealed]:
    """Entries of all tenants without a link, with ids beyond `after` and up to `end`, by id."""
    rows = connection.execute(
        text(
            f"""
            SELECT e.tenant_id, {_ENTRY}
            FROM m2m.audit_entry e LEFT JOIN LATERAL (SELECT entry_id FROM m2m.audit_link WHERE entry_id = e.id
                LIMIT 1) l ON true
            WHERE e.id > :after AND e.id <= :end AND l.entry_id IS NULL ORDER BY e.id
            """
        ),
        {"after": after, "end": end},
    )
    return [Unsealed(row[0], row[1:]) for row in rows.tuples()]


def find_heads(connection: Connection, tenant_ids: Sequence[int]) -> dict[int, tuple[int, bytes]]:
    """The number and the hash of each tenant's last link; before the first, 0 and GENESIS."""
    rows = connection.execute(
        text(
            """
            SELECT t.id, l.number, l.hash
            FROM unnest(CAST(:tenants AS bigint[])) AS t(id) CROSS JOIN LATERAL (SELECT number, hash FROM
                m2m.audit_link WHERE tenant_id = t.id ORDER BY number DESC LIMIT 1) l
            """
        ),
        {"tenants": list(tenant_ids)},
    )
    found = {tenant_id: (number, head) for tenant_id, number, head in rows.tuples()}
    return {one: found.get(one, (0, GENESIS)) for one in tenant_ids}


def insert_links(connection: Connection, sealed_at: str, links: Sequence[tuple[int, int, int, bytes]]) -> None:
    """Store links: tenant, number, entry and hash of each."""
    cursor: Any = connection.connection.cursor()  # SQLAlchemy has no word for COPY, which costs a fifth of an INSERT
    statement = "COPY m2m.audit_link (tenant_id, number, entry_id, hash, sealed_at) FROM STDIN"
    try:
        with cursor.copy(statement) as copy:
            for link in links:
                copy.write_row((*link, sealed_at))
    except (psycopg.OperationalError, READS_ONLY) as error:
        if isinstance(error, READS_ONLY):
            connection.invalidate(error)  # as SQLAlchemy does where it hears of the error
        raise OperationalError(statement, None, error) from error


def list_links(connection: Connection, tenant_id: int, after: int, end: int) -> Sequence[Link]:
    """The links of a tenant with numbers beyond `after` and up to `end`, in order, each with its entry."""
    rows = connection.execute(
        text(
            f"""
            SELECT l.number, l.entry_id, {_time("l.sealed_at")}, l.hash, {_ENTRY}
            FROM m2m.audit_link l LEFT JOIN LATERAL (SELECT * FROM m2m.audit_entry WHERE id = l.entry_id AND
                tenant_id = l.tenant_id LIMIT 1) e ON true
            WHERE l.tenant_id = :tenant AND l.number > :after AND l.number <= :end ORDER BY l.number
            """
        ),
        {"tenant": tenant_id, "after": after, "end": end},
    )
    return [_link(row) for row in rows]


def count_unsealed(connection: Connection, tenant_id: int) -> int:
    """The entries of a tenant that have no link, wherever they are."""
    return connection.execute(
        text(
            """
            SELECT count(*) FROM m2m.audit_entry e
            WHERE e.tenant_id = :tenant AND NOT EXISTS (SELECT 1 FROM m2m.audit_link l WHERE l.entry_id = e.id)
            """
        ),
        {"tenant": tenant_id},
    ).scalar_one()


def find_range(connection: Connection, tenant_id: int, begin: datetime, end: datetime) -> tuple[int, int] | None:
    """The numbers of a tenant's first and last link to an entry of that time (the end excluded), or None."""
    first, last = connection.execute(
        text(
            """
            SELECT min(l.number), max(l.number)
            FROM m2m.audit_entry e JOIN m2m.audit_link l ON l.entry_id = e.id AND l.tenant_id = e.tenant_id
            WHERE e.tenant_id = :tenant AND e.at >= :begin AND e.at < :end
            """
        ),
        {"tenant": tenant_id, "begin": begin, "end": end},
    ).one()
    return None if first is None else (first, last)


def note_signed(connection: Connection, tenant_id: int, place: str, number: int) -> None:
    """Digests up to that number of a tenant's chain are at the place."""
    connection.execute(
        text(
            """
            INSERT INTO m2m.audit_signed AS s (tenant_id, place, number) VALUES (:tenant, :place, :number)
            ON CONFLICT (tenant_id, place) DO UPDATE SET number = excluded.number WHERE s.number < excluded.number
            """
        ),
        {"tenant": tenant_id, "place": place, "number": number},
    )


def find_signed(connection: Connection, tenant_id: int, place: str) -> int:
    """Up to which number digests of a tenant's chain were ever seen at the place; 0 where none was."""
    found = connection.execute(
        text("SELECT number FROM m2m.audit_signed WHERE tenant_id = :tenant AND place = :place"),
        {"tenant": tenant_id, "place": place},
    ).scalar()
    return found or 0


def list_tenants(connection: Connection) -> dict[int, str]:
    """The names of all tenants, by id."""
    rows = connection.execute(text("SELECT id, name FROM m2m.tenant ORDER BY id"))
    return dict(rows.tuples().all())


def read_clock(connection: Connection) -> str:
    """The database's time, in the form of the chain."""
    return connection.execute(text(f"SELECT {_time('clock_timestamp()')}")).scalar_one()


def _link(row: Row[Any]) -> Link:
    number, entry_id, sealed_at, link_hash, *entry = row
    return Link(number, entry_id, sealed_at, link_hash, entry if entry[0] is not None else None)
