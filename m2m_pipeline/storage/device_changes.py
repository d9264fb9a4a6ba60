"""Device changes: their moves along the transition table, each guarded by its sources in the WHERE, and their sums."""

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, Row, text

from m2m_pipeline.domain.change import BulkChange, DeviceWork, MarkedRow, Step
from m2m_pipeline.domain.outcome import LastAnswer
from m2m_pipeline.domain.rows import MAX_RECORDED_VALUE
from m2m_pipeline.domain.status import (
    SETTLED_DEVICES,
    DeviceStatus,
    device_sources,
)


def insert_rows(
    connection: Connection, bulk_change: BulkChange, iccids: Sequence[str], marked: Sequence[MarkedRow]
) -> None:
    """Record the rows of a request: open, but for those that are `marked`.

    In the order of ICCIDs: two requests for the same devices meet at the first, and never hold each other up.
    The device of a row is written with its details, which are built before anything is sent.
    """
    connection.execute(
        text(
            """
            INSERT INTO m2m.device_change (tenant_id, service_provider_id, bulk_change_id, rate_plan,
                communication_plan, row_number, iccid, status, reason, message, ended_at)
            SELECT :tenant, :provider, :bulk_change, :rate_plan, :communication_plan, r.row_number,
                left(r.iccid, :longest), coalesce(m.status, 'PENDING'), m.reason, m.message,
                CASE WHEN m.status = ANY(:settled) THEN clock_timestamp() END
            FROM json_array_elements_text(CAST(:iccids AS json)) WITH ORDINALITY AS r(iccid, row_number)
            LEFT JOIN unnest(CAST(:row_number AS bigint[]), CAST(:status AS text[]), CAST(:reason AS text[]),
                CAST(:message AS text[])) AS m(row_number, status, reason, message)
                ON m.row_number = r.row_number
            ORDER BY r.iccid
            """
        ),
        {
            "tenant": bulk_change.tenant_id,
            "provider": bulk_change.service_provider_id,
            "bulk_change": bulk_change.id,
            "rate_plan": bulk_change.rate_plan,
            "communication_plan": bulk_change.communication_plan,
            "longest": MAX_RECORDED_VALUE,
            "settled": sorted(SETTLED_DEVICES),
            "iccids": json.dumps(iccids),
            "row_number": [row.row_number for row in marked],
            "status": [row.status.value for row in marked],
            "reason": [row.reason for row in marked],
            "message": [row.message for row in marked],
        },
    )


# An effective date that has come is none: the change is made at once.
_WORK = """
    SELECT c.id, c.iccid, c.status, c.old_rate_plan, c.old_communication_plan, c.rate_plan, c.communication_plan,
        CASE WHEN b.effective_date > CAST(clock_timestamp() AS date) THEN b.effective_date END AS effective_date,
        c.attempts, c.sent_at, c.last_answer
    FROM m2m.device_change c
    JOIN m2m.bulk_change b ON b.id = c.bulk_change_id
    WHERE c.bulk_change_id = :id
"""


def load_work(connection: Connection, bulk_change_id: int, batch: int) -> Sequence[DeviceWork]:
    """The devices of a batch that the carrier step has to bring to an end, in row order."""
    rows = connection.execute(
        text(
            f"""
            {_WORK} AND c.batch = :batch AND (c.status IN ('PENDING', 'SENDING') OR (c.status = 'APPLIED' AND
                c.verified_at IS NULL) OR (c.status = 'UNCONFIRMED' AND c.reason IS DISTINCT FROM 'SCHEDULED'))
            ORDER BY c.row_number
            """
        ),
        {"id": bulk_change_id, "batch": batch},
    )
    return [_work(row) for row in rows]


# The change was sent before the day from which it is to hold: until then nothing of it can be seen.
DATED = "coalesce(b.effective_date > CAST(c.sent_at AS date), false)"

TO_COME = f"(c.status = 'UNCONFIRMED' AND {DATED} AND b.effective_date > CAST(clock_timestamp() AS date))"
"""Condition on a device `c` of an ended bulk change `b`: its outcome is unknown because its day has not come."""


def load_unknown(connection: Connection, bulk_change_id: int) -> Sequence[DeviceWork]:
    """The devices of an ended bulk change whose outcome is to be learned; dated ones once their day is over in UTC.

    By then it has begun wherever the carrier is: a device that still shows its old plan is not going to change.
    """
    return _load(connection, bulk_change_id, f"NOT {DATED} OR b.effective_date < CAST(clock_timestamp() AS date)")


def load_just_due(connection: Connection, bulk_change_id: int) -> Sequence[DeviceWork]:
    """The devices whose day has come in UTC, and may have come at the carrier."""
    return _load(connection, bulk_change_id, f"{DATED} AND b.effective_date = CAST(clock_timestamp() AS date)")


def _load(connection: Connection, bulk_change_id: int, condition: str) -> Sequence[DeviceWork]:
    rows = connection.execute(
        text(f"{_WORK} AND c.status = 'UNCONFIRMED' AND ({condition}) ORDER BY c.row_number"), {"id": bulk_change_id}
    )
    return [_work(row) for row in rows]


def _work(row: Row[tuple[object, ...]]) -> DeviceWork:
    return DeviceWork(
        row.id,
        row.iccid,
        DeviceStatus(row.status),
        row.old_rate_plan,
        row.old_communication_plan,
        row.rate_plan,
        row.communication_plan,
        row.effective_date,
        row.attempts,
        row.sent_at,
        LastAnswer(row.last_answer) if row.last_answer else None,
    )


def mark_sending(connection: Connection, ids: Sequence[int]) -> None:
    """Commit the intent before the calls leave: from here on a crash is an unknown outcome, never a forgotten one."""
    moved = connection.execute(
        text(
            """
            UPDATE m2m.device_change
            SET status = 'SENDING', attempts = attempts + 1, sent_at = clock_timestamp()
            WHERE id = ANY(:ids) AND status = ANY(:sources)
            """
        ),
        {"ids": list(ids), "sources": sorted(device_sources(DeviceStatus.SENDING))},
    ).rowcount
    if moved != len(ids):
        raise IllegalMoveError(DeviceStatus.SENDING, len(ids) - moved)


def seconds_since_sent(connection: Connection, ids: Sequence[int]) -> Mapping[int, float]:
    """How long ago the intent to call for each device was committed, by id; of those that were sent."""
    rows = connection.execute(
        text(
            """
            SELECT id, extract(epoch FROM clock_timestamp() - sent_at)::float8 AS seconds
            FROM m2m.device_change WHERE id = ANY(:ids) AND sent_at IS NOT NULL
            """
        ),
        {"ids": list(ids)},
    )
    return {row.id: row.seconds for row in rows}


def take_steps(connection: Connection, steps: Sequence[Step]) -> None:
    """Commit decided moves.

    Raises:
        IllegalMoveError: a device is not in a state from which its move is legal.

    """
    for status in sorted({step.status for step in steps}):
        chosen = [step for step in steps if step.status is status]
        moved = connection.execute(
            text(
                """
                UPDATE m2m.device_change c
                SET status = :status, reason = s.reason, message = s.message, http_status = s.http_status,
                    carrier_code = s.carrier_code, attempts = s.attempts, last_answer = s.last_answer,
                    old_rate_plan = coalesce(c.old_rate_plan, s.old_rate_plan), old_communication_plan =
                    coalesce(c.old_communication_plan, s.old_communication_plan), verified_at = CASE WHEN s.verified
                    THEN clock_timestamp() ELSE c.verified_at END, ended_at = CASE WHEN :status = ANY(:settled)
                    THEN clock_timestamp() END
                FROM unnest(CAST(:id AS bigint[]), CAST(:reason AS text[]), CAST(:message AS text[]),
                    CAST(:http_status AS bigint[]), CAST(:carrier_code AS text[]), CAST(:verified AS boolean[]),
                    CAST(:attempts AS bigint[]), CAST(:last_answer AS text[]), CAST(:old_rate_plan AS text[]),
                    CAST(:old_communication_plan AS text[])) AS s(id, reason, message, http_status, carrier_code,
                    verified, attempts, last_answer, old_rate_plan, old_communication_plan)
                WHERE c.id = s.id AND (c.status = ANY(:sources) OR c.status = :status)
                """
            ),
            {
                "status": status.value,
                "sources": sorted(device_sources(status) - SETTLED_DEVICES),
                "settled": sorted(SETTLED_DEVICES),
                "id": [step.device_change_id for step in chosen],
                "reason": [step.reason for step in chosen],
                "message": [step.message for step in chosen],
                "http_status": [step.http_status for step in chosen],
                "carrier_code": [step.carrier_code for step in chosen],
                "verified": [step.verified for step in chosen],
                "attempts": [step.attempts for step in chosen],
                "last_answer": [step.last_answer for step in chosen],
                "old_rate_plan": [step.old_rate_plan for step in chosen],
                "old_communication_plan": [step.old_communication_plan for step in chosen],
            },
        ).rowcount
        if moved != len(chosen):
            raise IllegalMoveError(status, len(chosen) - moved)


def any_sent(connection: Connection, bulk_change_id: int) -> bool:
    """Whether a call for one of the devices may have left."""
    return connection.execute(
        text("SELECT EXISTS (SELECT 1 FROM m2m.device_change WHERE bulk_change_id = :id AND sent_at IS NOT NULL)"),
        {"id": bulk_change_id},
    ).scalar_one()


class IllegalMoveError(Exception):
    """Devices were not in a state from which the move is legal: another writer was there, or it is a bug."""

    def __init__(self, status: DeviceStatus, count: int) -> None:
        super().__init__(
            f"{count} device change(s) cannot move to {status}: another writer was there. Nothing was written."
        )
