"""Device changes counted and listed: what result documents and decisions about the end are made of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.status import ENDED_BULK_CHANGES, FINISHABLE_DEVICES, OPEN_DEVICES, DeviceStatus
from m2m_pipeline.storage.device_changes import TO_COME

ITERATION_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class Tally:
    """How many devices stand alike; where there is a reason for it, up to five of them, and what the first was told."""

    status: DeviceStatus
    reason: ReasonCode | None
    count: int
    examples: Sequence[str]
    carrier_code: str | None
    message: str | None


def count_unfinished(connection: Connection, bulk_change_id: int) -> int:
    """Devices in a state in which their bulk change may not end."""
    return connection.execute(
        text("SELECT count(*) FROM m2m.device_change WHERE bulk_change_id = :id AND NOT status = ANY(:finishable)"),
        {"id": bulk_change_id, "finishable": sorted(FINISHABLE_DEVICES)},
    ).scalar_one()


def count_unsettled(connection: Connection, provider_id: int) -> tuple[int, int]:
    """The provider's devices in bulk changes that have ended: those to settle, and those whose day has not come."""
    row = connection.execute(
        text(
            f"""
            SELECT count(*) FILTER (WHERE NOT {TO_COME}) AS due, count(*) FILTER (WHERE {TO_COME}) AS to_come
            FROM m2m.device_change c
            JOIN m2m.bulk_change b ON b.id = c.bulk_change_id
            WHERE c.service_provider_id = :provider AND c.status = ANY(:open) AND b.status = ANY(:ended)
            """
        ),
        {"provider": provider_id, "open": sorted(OPEN_DEVICES), "ended": sorted(ENDED_BULK_CHANGES)},
    ).one()
    return row.due, row.to_come


def tally(connection: Connection, bulk_change_id: int) -> Sequence[Tally]:
    """The devices of a bulk change, counted by status, reason and carrier code, most frequent first.

    Counted from an index that holds nothing else, the examples from one of devices with a reason: 100,000 rows are
    neither sorted nor looked at.
    """
    rows = connection.execute(
        text(
            """
            SELECT a.status, a.reason, a.carrier_code, a.devices, coalesce(e.examples, '{}') AS examples, e.message
            FROM (SELECT status, reason, carrier_code, count(*) AS devices FROM m2m.device_change
                WHERE bulk_change_id = :id GROUP BY status, reason, carrier_code) a
            CROSS JOIN LATERAL (SELECT array_agg(f.iccid ORDER BY f.row_number) AS examples,
                    (array_agg(f.message ORDER BY f.row_number))[1] AS message
                FROM (SELECT iccid, message, row_number FROM m2m.device_change
                    WHERE bulk_change_id = :id AND status = a.status AND reason = a.reason
                        AND carrier_code = a.carrier_code
                    UNION ALL
                    SELECT iccid, message, row_number FROM m2m.device_change
                    WHERE bulk_change_id = :id AND status = a.status AND reason = a.reason
                        AND carrier_code IS NULL AND a.carrier_code IS NULL
                    ORDER BY row_number LIMIT 5) f) e
            ORDER BY a.devices DESC, a.status, a.reason, a.carrier_code
            """
        ),
        {"id": bulk_change_id},
    )
    return [
        Tally(
            DeviceStatus(row.status),
            ReasonCode(row.reason) if row.reason else None,
            row.devices,
            tuple(row.examples),
            row.carrier_code,
            row.message,
        )
        for row in rows
    ]


def each_result(connection: Connection, bulk_change_id: int) -> Iterator[tuple[str, ...]]:
    """One tuple a device in row order: iccid, status, old plan, new plan, carrier code, message ('' for none).

    The new plan is the one that was asked for; whether the device is on it, the status says.
    """
    rows = connection.execution_options(yield_per=ITERATION_ROWS).execute(
        text(
            """
            SELECT iccid, status, coalesce(old_rate_plan, ''), rate_plan, coalesce(carrier_code, ''),
                coalesce(message, '')
            FROM m2m.device_change WHERE bulk_change_id = :id ORDER BY row_number
            """
        ),
        {"id": bulk_change_id},
    )
    for row in rows:
        yield tuple(row)
