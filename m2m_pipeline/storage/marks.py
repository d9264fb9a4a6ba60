"""Marks of transactions, by which is known whether one whose answer was lost was committed.

The server's own book of transaction ids does not tell: after a crash it gives the ids anew whose work was not on disk.
"""

from uuid import uuid4

from sqlalchemy import Connection, text

from m2m_pipeline.domain.attempt import Attempt, LeaseLostError


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


def leave_as_owner(connection: Connection, attempt: Attempt, mark: str, *, shared: bool) -> bool:
    """Lock the attempt's bulk change, and leave the mark; False where it is left already. `shared`: as of `fenced`.

    Raises:
        LeaseLostError: another attempt holds the bulk change, or it has ended.

    """
    fence = connection.execute(
        text(
            f"""
            WITH held AS (SELECT tenant_id FROM m2m.bulk_change
                WHERE id = :id AND lease_token = :token AND lease_owner = :owner
                {"FOR SHARE" if shared else "FOR NO KEY UPDATE"}),
            left_now AS (INSERT INTO m2m.transaction_mark (id, tenant_id)
                SELECT CAST(:mark AS uuid), tenant_id FROM held ON CONFLICT DO NOTHING RETURNING id)
            SELECT EXISTS (SELECT 1 FROM left_now) AS is_new FROM held
            """
        ),
        {"id": attempt.bulk_change_id, "token": attempt.token, "owner": attempt.owner, "mark": mark},
    ).first()
    if fence is None:
        raise LeaseLostError(attempt)
    return bool(fence.is_new)


def is_left(connection: Connection, mark: str, tenant_id: int | None) -> bool:
    """Whether a transaction that left the mark was committed; one that still runs is waited for, as for a lock.

    Whoever tries to leave the same mark learns it, and what is tried here is taken back.
    """
    tried = text("INSERT INTO m2m.transaction_mark (id, tenant_id) VALUES (:mark, :tenant) ON CONFLICT DO NOTHING")
    with connection.begin_nested() as attempt:
        left = connection.execute(tried, {"mark": mark, "tenant": tenant_id}).rowcount == 0
        attempt.rollback()
    return left
