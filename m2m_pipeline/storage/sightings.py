"""What list pages show of devices in work, and whose turn it is to read such pages.

Both tables are unlogged: what a crash of the server loses costs list calls, and no knowledge.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from m2m_pipeline.domain.attempt import Attempt, LeaseLostError
from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.domain.status import DeviceStatus

IN_QUESTION = (DeviceStatus.SENDING, DeviceStatus.APPLIED, DeviceStatus.UNCONFIRMED)
"""Devices of which a page may tell that they have their new plan."""

KEPT_HOURS = 1
"""A sighting is of use until its batch is confirmed."""

_OWN = """
    SELECT id, service_provider_id, lease_token, status FROM m2m.bulk_change
    WHERE id = :id AND lease_token = :token AND lease_owner = :owner
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is noted, `at` a moment of the database's clock: since when pages were asked for that show a device changed.

    `asked_at`: by device change, the latest such moment by our own monotonic clock, in seconds, early by at most what
    the answer of the database took. `is_our_turn`: nobody else with a living lease reads pages of the provider.
    `is_alone`: no other bulk change of the provider is being worked on.
    """

    at: datetime
    asked_at: Mapping[int, float]
    is_our_turn: bool
    is_alone: bool


def look(connection: Connection, attempt: Attempt, device_change_ids: Sequence[int]) -> Seen:
    """Take the turn if it is free, and see what is noted of the devices; in this order, so that nothing is missed.

    Reconciliation, whose bulk change has ended, takes no turns: it neither waits for runs nor has them wait.

    Raises:
        LeaseLostError: another attempt holds the bulk change, or it has ended.

    """
    turn = connection.execute(
        text(
            f"""
            WITH own AS ({_OWN}), turn AS (
                INSERT INTO m2m.list_turn AS turn (service_provider_id, bulk_change_id, lease_token)
                SELECT service_provider_id, id, lease_token FROM own WHERE status = 'PROCESSING'
                ON CONFLICT (service_provider_id) DO UPDATE
                SET bulk_change_id = excluded.bulk_change_id, lease_token = excluded.lease_token
                WHERE NOT EXISTS (SELECT 1 FROM m2m.bulk_change b WHERE b.id = turn.bulk_change_id
                    AND b.id <> excluded.bulk_change_id AND b.lease_token = turn.lease_token
                    AND b.lease_expires_at > clock_timestamp())
                RETURNING 1
            )
            SELECT status <> 'PROCESSING' OR EXISTS (SELECT 1 FROM turn) AS is_ours,
                NOT EXISTS (SELECT 1 FROM m2m.bulk_change b WHERE b.status = 'PROCESSING' AND b.id <> own.id
                    AND b.service_provider_id = own.service_provider_id) AS is_alone
            FROM own
            """
        ),
        _holder(attempt),
    ).one_or_none()
    if turn is None:
        raise LeaseLostError(attempt)
    looked_at = time.monotonic()  # no later than the statement's moment: a page may seem older than it is, never newer
    seen = connection.execute(
        text(
            """
            WITH now AS MATERIALIZED (SELECT clock_timestamp() AS at)
            SELECT at, (SELECT jsonb_object_agg(device_change_id, extract(epoch FROM at - asked_at))
                FROM m2m.sighting WHERE device_change_id = ANY(:ids)) AS seconds
            FROM now
            """
        ),
        {"ids": list(device_change_ids)},
    ).one()
    asked_at = {int(id_): looked_at - float(seconds) for id_, seconds in (seen.seconds or {}).items()}
    return Seen(seen.at, asked_at, turn.is_ours, turn.is_alone)


def note(connection: Connection, attempt: Attempt, readings: Sequence[DeviceReading], asked_at: datetime) -> None:
    """Note which devices of the provider's bulk changes these readings show on their new plan; nothing without a lease.

    In the order of their ids: two who note the same devices do not hold each other up for good.
    """
    connection.execute(
        text(
            """
            DELETE FROM m2m.sighting WHERE device_change_id IN (SELECT device_change_id FROM m2m.sighting
                WHERE asked_at < clock_timestamp() - make_interval(hours => :kept) FOR UPDATE SKIP LOCKED)
            """
        ),
        {"kept": KEPT_HOURS},
    )
    connection.execute(
        text(
            f"""
            INSERT INTO m2m.sighting AS known (device_change_id, asked_at)
            SELECT DISTINCT d.id, CAST(:asked_at AS timestamptz)
            FROM unnest(CAST(:iccids AS text[]), CAST(:rate_plans AS text[]), CAST(:communication_plans AS text[]))
                AS shown (iccid, rate_plan, communication_plan)
            JOIN m2m.device_change d ON d.iccid = shown.iccid AND d.rate_plan = shown.rate_plan
                AND coalesce(d.communication_plan = shown.communication_plan, d.communication_plan IS NULL)
                AND d.service_provider_id = (SELECT service_provider_id FROM ({_OWN}) own)
                AND d.status = ANY(:in_question)
            ORDER BY d.id
            ON CONFLICT (device_change_id) DO UPDATE SET asked_at = excluded.asked_at
            WHERE known.asked_at < excluded.asked_at
            """
        ),
        {
            **_holder(attempt),
            "asked_at": asked_at,
            "iccids": [one.iccid for one in readings],
            "rate_plans": [one.rate_plan for one in readings],
            "communication_plans": [one.communication_plan for one in readings],
            "in_question": sorted(IN_QUESTION),
        },
    )


def give_turn_on(connection: Connection, attempt: Attempt) -> None:
    """End the turn, if it is the attempt's."""
    connection.execute(
        text("DELETE FROM m2m.list_turn WHERE bulk_change_id = :id AND lease_token = :token"), _holder(attempt)
    )


def _holder(attempt: Attempt) -> dict[str, object]:
    return {"id": attempt.bulk_change_id, "token": attempt.token, "owner": attempt.owner}
