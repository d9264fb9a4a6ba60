"""Marks of transactions, by which is known whether one whose answer was lost was committed.

The server's own book of transaction ids does not tell: after a crash it gives the ids anew whose work was not on disk.
"""

from uuid import uuid4

from sqlalchemy import Connection, text


def new() -> str:
    """A mark that no other transaction has."""
    return str(uuid4())


def leave(connection: Connection, mark: str, tenant_id: int | None) -> bool:
    """Leave the mark with what this transaction has written; False, and no mark, where it has written nothing."""
    left = text(
        """
        INSERT INTO m2m.transaction_mark (id, tenant_id)
        SELECT CAST(:mark AS uuid), CAST(:tenant AS bigint) WHERE pg_current_xact_id_if_assigned() IS NOT NULL
        """
    )
    return connection.execute(left, {"mark": mark, "tenant": tenant_id}).rowcount == 1


def is_left(connection: Connection, mark: str, tenant_id: int | None) -> bool:
    """Whether a transaction that left the mark was committed; one that still runs is waited for, as for a lock.

    Whoever tries to leave the same mark learns it, and what is tried here is taken back.
    """
    tried = text("INSERT INTO m2m.transaction_mark (id, tenant_id) VALUES (:mark, :tenant) ON CONFLICT DO NOTHING")
    with connection.begin_nested() as attempt:
        left = connection.execute(tried, {"mark": mark, "tenant": tenant_id}).rowcount == 0
        attempt.rollback()
    return left
