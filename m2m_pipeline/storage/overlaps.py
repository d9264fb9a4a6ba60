"""Bulk changes that share devices: the later waits until the earlier has ended, and then takes what is free.

One only ever waits for another that was recorded before it, so that no two can wait for each other.
"""

from sqlalchemy import Connection, text

from m2m_pipeline.domain.reasons import REASONS, ReasonCode
from m2m_pipeline.domain.status import OPEN_DEVICES, UNDER_WAY, DeviceStatus

_CLAIMING = ", ".join(f"'{status}'" for status in sorted(OPEN_DEVICES | {DeviceStatus.WAITING}))
_RUNNING = ", ".join(f"'{status}'" for status in sorted(UNDER_WAY))

_EARLIER = f"""
    FROM m2m.device_change w
    JOIN m2m.device_change o ON o.service_provider_id = w.service_provider_id AND o.iccid = w.iccid
        AND o.bulk_change_id < w.bulk_change_id
    JOIN m2m.bulk_change e ON e.id = o.bulk_change_id
    WHERE w.status = 'WAITING' AND o.status IN ({_CLAIMING}) AND e.status IN ({_RUNNING})
"""

HAS_TO_WAIT = f"EXISTS (SELECT 1 {_EARLIER} AND w.bulk_change_id = b.id)"
"""Condition on a bulk change `b`: an earlier one that is under way has, or waits for, a device that this one needs."""


def waits_for(connection: Connection, bulk_change_id: int) -> int | None:
    """The newest bulk change whose end this one waits for, if any."""
    return connection.execute(
        text(f"SELECT max(o.bulk_change_id) {_EARLIER} AND w.bulk_change_id = :id"), {"id": bulk_change_id}
    ).scalar_one()


def end_waiting(connection: Connection, bulk_change_id: int) -> None:
    """Open the waiting devices that are free now, and refuse those that another bulk change has all the same.

    Raises:
        IntegrityError: another took one of them in this moment; saying it again helps.

    """
    connection.execute(
        text(
            """
            UPDATE m2m.device_change c
            SET status = 'REFUSED', reason = :reason, ended_at = clock_timestamp(),
                message = :title || ': bulk change ' || o.bulk_change_id || '.'
            FROM m2m.device_change o
            WHERE c.bulk_change_id = :id AND c.status = 'WAITING' AND o.service_provider_id = c.service_provider_id
                AND o.iccid = c.iccid AND o.status = ANY(:open)
            """
        ),
        {
            "id": bulk_change_id,
            "reason": ReasonCode.OPEN_CHANGE.value,
            "title": f"Not sent: {REASONS[ReasonCode.OPEN_CHANGE].title}",
            "open": sorted(OPEN_DEVICES),
        },
    )
    connection.execute(
        text("UPDATE m2m.device_change SET status = 'PENDING' WHERE bulk_change_id = :id AND status = 'WAITING'"),
        {"id": bulk_change_id},
    )
