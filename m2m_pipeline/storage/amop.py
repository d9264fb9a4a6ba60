"""AMOP's own record follows the carrier: the inventory gets the new plan, the device change becomes PROCESSED."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from m2m_pipeline.domain.reasons import REASONS, ReasonCode

_READY = (
    "c.bulk_change_id = :id AND (CAST(:batch AS bigint) IS NULL OR c.batch = :batch) AND (c.status = 'AMOP_FAILED' OR "
    "(c.status = 'APPLIED' AND (c.verified_at IS NOT NULL OR "
    "(:unverified AND c.last_answer IS DISTINCT FROM 'ACCEPTED'))))"
)


def list_ready(connection: Connection, bulk_change_id: int, batch: int | None, *, unverified: bool) -> Sequence[int]:
    """The device changes of a batch (or of all, for None) that the carrier has applied and AMOP does not show yet.

    `unverified`: the carrier's word is enough (verify mode `none`).
    """
    rows = connection.execute(
        text(f"SELECT c.id FROM m2m.device_change c WHERE {_READY} ORDER BY c.row_number"),
        {"id": bulk_change_id, "batch": batch, "unverified": unverified},
    )
    return [row.id for row in rows]


def update(connection: Connection, ids: Sequence[int]) -> int:
    """Bring inventory and device changes to the new plan, both or neither; how many."""
    return connection.execute(
        text(
            """
            WITH moved AS (UPDATE m2m.device d SET rate_plan = c.rate_plan, communication_plan =
                coalesce(c.communication_plan, d.communication_plan), updated_at = clock_timestamp() FROM
                m2m.device_change c WHERE c.id = ANY(:ids) AND d.id = c.device_id
                AND c.status IN ('APPLIED', 'AMOP_FAILED') RETURNING c.id)
            UPDATE m2m.device_change c
            SET status = 'PROCESSED', reason = NULL, message = NULL, ended_at = clock_timestamp()
            FROM moved
            WHERE c.id = moved.id AND c.status IN ('APPLIED', 'AMOP_FAILED')
            """
        ),
        {"ids": list(ids)},
    ).rowcount


def mark_failed(connection: Connection, id: int, why: str) -> None:  # noqa: A002 -- the table's word
    """Remember that the carrier was changed and AMOP could not be."""
    connection.execute(
        text(
            """
            UPDATE m2m.device_change
            SET status = 'AMOP_FAILED', reason = :reason, message = :message
            WHERE id = :id AND status IN ('APPLIED', 'AMOP_FAILED')
            """
        ),
        {
            "id": id,
            "reason": ReasonCode.AMOP_UPDATE_FAILED.value,
            "message": f"{REASONS[ReasonCode.AMOP_UPDATE_FAILED].title}: {why}.",
        },
    )
