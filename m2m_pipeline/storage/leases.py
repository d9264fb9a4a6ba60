"""Leases: who works on a bulk change, taken by compare-and-set, timed by the database's clock."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from m2m_pipeline.domain.attempt import Attempt
from m2m_pipeline.domain.status import ENDED_BULK_CHANGES, OPEN_DEVICES
from m2m_pipeline.storage.device_changes import TO_COME
from m2m_pipeline.storage.overlaps import HAS_TO_WAIT

_KEEP_RATE = """
    calls_per_second = greatest(calls_per_second,
        (SELECT p.calls_per_second FROM m2m.service_provider p WHERE p.id = service_provider_id))
"""
"""Assignment: the highest rate that the account has allowed while somebody worked."""

COUNT_WORK = f"""
    work_seconds = work_seconds + coalesce(extract(epoch FROM clock_timestamp() - work_counted_at), 0),
    work_counted_at = clock_timestamp(), {_KEEP_RATE}
"""
"""Assignments, for whoever holds the lease: the time under it is work, and is added up as its carrier calls are."""


@dataclass(frozen=True, slots=True)
class Stranded:
    """A bulk change whose attempt came to nothing; its row is locked until the transaction ends."""

    id: int
    tenant_id: int
    service_provider_id: int
    attempt: int
    fruitless: int  # attempts in a row, this one counted, in which no device got on
    owner: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run stands to its bulk change."""

    tenant_id: int
    attempt: int  # the bulk change's newest
    holds_lease: bool
    quiet_seconds: float  # since its bulk change was last queued, ended, or under the run's own lease


def claim(connection: Connection, bulk_change_id: int, owner: str, lease_seconds: float) -> Attempt | None:
    """Take the lease for the run `owner`, or renew it where this run holds it already; None where another does.

    None as well where the bulk change has to wait for an earlier one, or where the attempt that is queued is the one
    after this run's own, which was given up: a run that wakes up late is taken for ended, and must not go on.

    The token grows whenever the owner changes. All times are the database's.
    """
    row = connection.execute(
        text(
            f"""
            UPDATE m2m.bulk_change b
            SET status = 'PROCESSING', lease_token = lease_token + CASE WHEN status = 'PROCESSING' AND
                lease_owner = :owner THEN 0 ELSE 1 END, lease_owner = :owner, lease_expires_at =
                clock_timestamp() + make_interval(secs => :seconds), started_at = coalesce(started_at,
                clock_timestamp()), work_counted_at = CASE WHEN status = 'PROCESSING' AND lease_owner = :owner
                THEN work_counted_at ELSE clock_timestamp() END, {_KEEP_RATE}
            WHERE id = :id AND (
                (status = 'QUEUED' AND lease_owner IS DISTINCT FROM :owner AND NOT {HAS_TO_WAIT})
                OR (status = 'PROCESSING' AND
                    (lease_owner = :owner OR lease_owner IS NULL OR lease_expires_at < clock_timestamp())))
            RETURNING tenant_id, lease_token
            """
        ),
        {"id": bulk_change_id, "owner": owner, "seconds": lease_seconds},
    ).first()
    return Attempt(bulk_change_id, row.tenant_id, row.lease_token, owner) if row else None


def claim_unsettled(
    connection: Connection, provider_id: int, owner: str, lease_seconds: float, after: int
) -> Attempt | None:
    """Take the lease of the provider's next ended bulk change (by id, beyond `after`) with devices to be settled.

    Or of one over which a pass has died: it may have settled the last device, and not have told the end.
    None where there is no other. One that somebody else is settling is passed over, and one whose day has not come.
    """
    row = connection.execute(
        text(
            f"""
            UPDATE m2m.bulk_change
            SET lease_token = lease_token + 1, lease_owner = :owner,
                lease_expires_at = clock_timestamp() + make_interval(secs => :seconds),
                work_counted_at = clock_timestamp(), {_KEEP_RATE}
            WHERE id = (SELECT b.id FROM m2m.bulk_change b WHERE b.service_provider_id = :provider AND b.id > :after
                AND b.status = ANY(:ended) AND (b.lease_owner IS NULL OR b.lease_expires_at < clock_timestamp())
                AND (b.lease_owner IS NOT NULL OR EXISTS (SELECT 1 FROM m2m.device_change c
                    WHERE c.bulk_change_id = b.id AND c.status = ANY(:open) AND NOT {TO_COME}))
                ORDER BY b.id LIMIT 1 FOR UPDATE SKIP LOCKED)
            RETURNING id, tenant_id, lease_token
            """
        ),
        {
            "provider": provider_id,
            "owner": owner,
            "seconds": lease_seconds,
            "after": after,
            "ended": sorted(ENDED_BULK_CHANGES),
            "open": sorted(OPEN_DEVICES),
        },
    ).first()
    return Attempt(row.id, row.tenant_id, row.lease_token, owner) if row else None


def renew(connection: Connection, attempt: Attempt, lease_seconds: float) -> bool:
    """Prolong the lease from now; False where it is lost."""
    return (
        connection.execute(
            text(
                f"""
                UPDATE m2m.bulk_change
                SET lease_expires_at = clock_timestamp() + make_interval(secs => :seconds), {COUNT_WORK}
                WHERE id = :id AND lease_token = :token AND lease_owner = :owner
                """
            ),
            {"id": attempt.bulk_change_id, "token": attempt.token, "owner": attempt.owner, "seconds": lease_seconds},
        ).rowcount
        == 1
    )


def release(connection: Connection, owner: str) -> None:
    """Give back what the run `owner` holds, so that the next attempt need not wait for the lease to run out."""
    connection.execute(
        text(
            f"""
            UPDATE m2m.bulk_change
            SET lease_owner = NULL, lease_expires_at = NULL, {COUNT_WORK}
            WHERE lease_owner = :owner AND status <> 'QUEUED'
            """
        ),
        {"owner": owner},
    )


def find_holder(connection: Connection, bulk_change_id: int, owner: str) -> str | None:
    """Which run other than `owner` works on a bulk change now; None where none does."""
    return connection.execute(
        text(
            """
            SELECT lease_owner FROM m2m.bulk_change
            WHERE id = :id AND status = 'PROCESSING' AND lease_owner <> :owner
                AND lease_expires_at >= clock_timestamp()
            """
        ),
        {"id": bulk_change_id, "owner": owner},
    ).scalar_one_or_none()


# An attempt bore fruit where it brought a device to its end, or so far that the next one need not send it.
_STRANDED = """
    SELECT b.id, b.tenant_id, b.service_provider_id, b.attempt, b.lease_owner, CASE WHEN EXISTS (SELECT 1 FROM
        m2m.device_change c WHERE c.bulk_change_id = b.id AND (greatest(c.ended_at, c.verified_at) > b.attempt_queued_at
        OR (c.status = 'APPLIED' AND c.sent_at > b.attempt_queued_at))) THEN 1 ELSE b.fruitless_attempts + 1 END
        AS fruitless
    FROM m2m.bulk_change b
"""


def lock_stranded(connection: Connection, after: int) -> Stranded | None:
    """The next bulk change (by id, beyond `after`) in PROCESSING that nobody holds the lease of.

    One whose owner is just writing is locked by it, and passed over: it lives.
    """
    return _lock(
        connection,
        "b.status = 'PROCESSING' AND (b.lease_owner IS NULL OR b.lease_expires_at < clock_timestamp()) "
        "AND b.id > :after ORDER BY b.id LIMIT 1",
        {"after": after},
    )


def lock_queued(connection: Connection, bulk_change_id: int, attempt: int) -> Stranded | None:
    """The bulk change of that id where it still waits for that attempt."""
    return _lock(
        connection,
        "b.status = 'QUEUED' AND b.id = :id AND b.attempt = :attempt",
        {"id": bulk_change_id, "attempt": attempt},
    )


def _lock(connection: Connection, condition: str, values: dict[str, int]) -> Stranded | None:
    row = connection.execute(text(f"{_STRANDED} WHERE {condition} FOR UPDATE OF b SKIP LOCKED"), values).first()
    if row is None:
        return None
    return Stranded(row.id, row.tenant_id, row.service_provider_id, row.attempt, row.fruitless, row.lease_owner)


def queue_next_attempt(connection: Connection, stranded: Stranded) -> bool:
    """Queue the attempt after a stranded one, at its old place; whoever held the lease before writes nothing more.

    Its name stays with the row, so that it does not take the bulk change again.
    """
    return (
        connection.execute(
            text(
                """
                UPDATE m2m.bulk_change
                SET status = 'QUEUED', attempt = attempt + 1, attempt_queued_at = clock_timestamp(),
                    fruitless_attempts = :fruitless, lease_token = lease_token + 1, lease_expires_at = NULL
                WHERE id = :id AND attempt = :attempt AND (status = 'QUEUED' OR (status = 'PROCESSING' AND
                    (lease_owner IS NULL OR lease_expires_at < clock_timestamp())))
                """
            ),
            {"id": stranded.id, "attempt": stranded.attempt, "fruitless": stranded.fruitless},
        ).rowcount
        == 1
    )


def find_standing(connection: Connection, bulk_change_id: int, owner: str) -> Standing | None:
    """How the run `owner` stands to a bulk change; None where there is none of that id."""
    row = connection.execute(
        text(
            """
            SELECT tenant_id, attempt, coalesce(lease_owner = :owner AND lease_expires_at > clock_timestamp(), false)
                AS holds_lease, extract(epoch FROM clock_timestamp() - greatest(created_at, attempt_queued_at,
                finished_at, CASE WHEN lease_owner = :owner THEN lease_expires_at END))::float8 AS quiet
            FROM m2m.bulk_change WHERE id = :id
            """
        ),
        {"id": bulk_change_id, "owner": owner},
    ).first()
    return Standing(row.tenant_id, row.attempt, row.holds_lease, row.quiet) if row else None
