"""The details of a bulk change, built from the inventory before anything is sent: set-based and idempotent."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from m2m_pipeline.domain.reasons import REASONS, ReasonCode
from m2m_pipeline.domain.status import OPEN_DEVICES, DeviceStatus, device_sources

# Which pending devices need no call, by a condition on the device change `c`; the first that fits counts.
_NEEDS_NO_CALL = (
    (ReasonCode.DEVICE_ROW_INVALID, DeviceStatus.REFUSED, "c.iccid !~ '^[0-9]{18,22}$' OR c.rate_plan = ''"),
    (
        ReasonCode.NOT_IN_INVENTORY,
        DeviceStatus.REFUSED,
        """
        NOT EXISTS (
            SELECT 1 FROM m2m.device d WHERE d.service_provider_id = c.service_provider_id AND d.iccid = c.iccid
        )
        """,
    ),
    (
        ReasonCode.ALREADY_ON_PLAN,
        DeviceStatus.SKIPPED,
        """
        c.old_rate_plan = c.rate_plan
        AND (c.communication_plan IS NULL OR c.communication_plan = c.old_communication_plan)
        """,
    ),
)


def fill_details(connection: Connection, bulk_change_id: int) -> None:
    """Write the old plan of each device, as it is before anything is sent. Idempotent.

    It is AMOP's, unless reconciliation has found the device on another plan at the carrier than AMOP shows and than is
    asked for: a change back to AMOP's plan has something to do.
    """
    connection.execute(
        text(
            """
            UPDATE m2m.device_change c
            SET old_rate_plan = coalesce(r.carrier_rate_plan, d.rate_plan), device_id = d.id,
                old_communication_plan = coalesce(r.carrier_communication_plan, d.communication_plan)
            FROM m2m.device d JOIN m2m.bulk_change b ON b.id = :id
            LEFT JOIN m2m.drift r ON r.service_provider_id = d.service_provider_id AND r.iccid = d.iccid
                AND r.resolved_at IS NULL AND NOT (r.carrier_rate_plan = b.rate_plan
                AND coalesce(b.communication_plan = r.carrier_communication_plan, true))
            WHERE c.bulk_change_id = :id AND c.status = 'PENDING' AND c.attempts = 0 AND d.service_provider_id =
                c.service_provider_id AND d.iccid = c.iccid
            """
        ),
        {"id": bulk_change_id},
    )


def end_without_call(connection: Connection, bulk_change_id: int) -> None:
    """End the pending devices that need no call, each with its reason."""
    for reason, status, condition in _NEEDS_NO_CALL:
        _end(connection, bulk_change_id, reason, status, condition)


def end_unsent(connection: Connection, bulk_change_id: int, reason: ReasonCode) -> None:
    """End every device that waits to be sent, or for another bulk change, because of a reason that holds for all.

    What an earlier attempt sent, and nobody could ask about since, is left to reconciliation.
    """
    _end(connection, bulk_change_id, reason, DeviceStatus.REFUSED, "true", sources=("PENDING", "WAITING"))
    leave_unknown(connection, bulk_change_id, f"The carrier could not be asked: {REASONS[reason].title}.")


def leave_unknown(connection: Connection, bulk_change_id: int, message: str) -> None:
    """No attempt follows: what may have reached the carrier, or is only its claim, is left to reconciliation."""
    connection.execute(
        text(
            """
            UPDATE m2m.device_change
            SET status = 'UNCONFIRMED', reason = :reason, message = :message
            WHERE bulk_change_id = :id AND status = ANY(:sources) AND verified_at IS NULL
            """
        ),
        {
            "id": bulk_change_id,
            "reason": ReasonCode.OUTCOME_UNKNOWN.value,
            "message": message,
            "sources": sorted(device_sources(DeviceStatus.UNCONFIRMED)),
        },
    )


def assign_batches(connection: Connection, bulk_change_id: int, size: int) -> Sequence[tuple[int, int, str]]:
    """Number the unsettled devices into batches of `size`; (number, devices, first ICCID) of each."""
    connection.execute(
        text(
            """
            UPDATE m2m.device_change c SET batch = n.batch
            FROM (SELECT id, 1 + (row_number() OVER (ORDER BY row_number) - 1) / :size AS batch FROM
                m2m.device_change WHERE bulk_change_id = :id AND status = ANY(:open)) n
            WHERE c.id = n.id
            """
        ),
        {"id": bulk_change_id, "size": size, "open": sorted(OPEN_DEVICES)},
    )
    rows = connection.execute(
        text(
            """
            SELECT batch, count(*) AS devices, min(iccid) AS first FROM m2m.device_change
            WHERE bulk_change_id = :id AND status = ANY(:open) GROUP BY batch ORDER BY batch
            """
        ),
        {"id": bulk_change_id, "open": sorted(OPEN_DEVICES)},
    )
    return [(row.batch, row.devices, row.first) for row in rows]


def _end(
    connection: Connection,
    bulk_change_id: int,
    reason: ReasonCode,
    status: DeviceStatus,
    condition: str,
    *,
    sources: Sequence[str] = ("PENDING",),
) -> None:
    """End the devices in `sources` for which `condition` (SQL on device_change `c`) holds."""
    connection.execute(
        text(
            f"""
            UPDATE m2m.device_change c
            SET status = :status, reason = :reason, ended_at = clock_timestamp(),
                message = CASE WHEN c.attempts > 0 THEN :not_applied ELSE :not_sent END
            WHERE c.bulk_change_id = :id AND c.status = ANY(:sources) AND ({condition})
            """
        ),
        {
            "id": bulk_change_id,
            "status": status.value,
            "sources": list(sources),
            "reason": reason.value,
            "not_sent": f"Not sent: {REASONS[reason].title}.",
            "not_applied": f"Not applied, and not sent again: {REASONS[reason].title}.",
        },
    )
