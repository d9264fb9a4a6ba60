"""The queue of bulk changes, as whoever starts runs reads it."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from m2m_pipeline.domain.accounts import account_label
from m2m_pipeline.domain.change import QueuedBulkChange
from m2m_pipeline.storage.accounts import ACCOUNT_HOST
from m2m_pipeline.storage.overlaps import HAS_TO_WAIT

_REST = """
    CASE WHEN b.fruitless_attempts > 1 THEN greatest(0, :pause * 2 ^ (b.fruitless_attempts - 2)
        - extract(epoch FROM clock_timestamp() - b.attempt_queued_at)::float8) ELSE 0 END
"""
"""For how many seconds yet a bulk change `b` is left alone, since what killed its last attempts may need its time. One
that died is followed at once, the second in a row after the pause, and each further one after twice as long."""


def read_head(connection: Connection, of_account: int, limit: int, pause_seconds: float) -> Sequence[QueuedBulkChange]:
    """The first of each carrier account, then the second of each, up to `of_account` of each and `limit` of all.

    Within an account, and in each round, higher priority goes first, then first come, first served. What has to wait
    for an earlier one is passed over, and what rests.
    """
    rows = connection.execute(
        text(
            f"""
            SELECT * FROM (
                SELECT b.id, b.attempt, b.priority, b.queued_at, t.name AS tenant, p.name AS provider, p.base_url,
                    coalesce(c.username, '') AS username,
                    row_number() OVER (PARTITION BY {ACCOUNT_HOST}, c.username
                        ORDER BY b.priority DESC, b.queued_at) AS round
                FROM m2m.bulk_change b JOIN m2m.tenant t ON t.id = b.tenant_id
                JOIN m2m.service_provider p ON p.id = b.service_provider_id
                LEFT JOIN m2m.carrier_credential c ON c.service_provider_id = p.id
                WHERE b.status = 'QUEUED' AND {_REST} = 0 AND NOT {HAS_TO_WAIT}
            ) queued
            WHERE round <= :of_account ORDER BY round, priority DESC, queued_at LIMIT :limit
            """
        ),
        {"of_account": of_account, "limit": limit, "pause": pause_seconds},
    )
    return [
        QueuedBulkChange(
            row.id, row.attempt, row.priority, row.tenant, row.provider, account_label(row.base_url, row.username)
        )
        for row in rows
    ]


def rests_for(connection: Connection, bulk_change_id: int, pause_seconds: float) -> float:
    """For how many seconds a queued bulk change is not started, since its last attempts came to nothing."""
    return connection.execute(
        text(f"SELECT coalesce(max({_REST}), 0) FROM m2m.bulk_change b WHERE b.id = :id AND b.status = 'QUEUED'"),
        {"id": bulk_change_id, "pause": pause_seconds},
    ).scalar_one()
