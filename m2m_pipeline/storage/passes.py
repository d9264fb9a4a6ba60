"""Reconciliation passes: who works on one, how far it is, and what it came to.

Every write names the owner: a pass that another process has taken over refuses it, and each write prolongs the lease.
"""

import json
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, Row, text

from m2m_pipeline.domain.accounts import ServiceProvider
from m2m_pipeline.domain.drift import DriftCause
from m2m_pipeline.domain.passes import OPEN_PASSES, Pass, PassLostError, PassPhase, PassSummary

_COLUMNS = "id, tenant_id, service_provider_id, lease_owner, is_full, phase, since, begun_at, page, sweeps, checked"


def claim(connection: Connection, provider: ServiceProvider, owner: str, lease_seconds: float) -> Pass | None:
    """Go on with the provider's open pass; None where there is none, or another process is working on it."""
    row = connection.execute(
        text(
            f"""
            UPDATE m2m.reconciliation_pass
            SET lease_owner = :owner, lease_expires_at = clock_timestamp() + make_interval(secs => :seconds),
                calls_per_second = greatest(calls_per_second, :rate)
            WHERE service_provider_id = :provider AND phase = ANY(:open)
                AND (lease_owner IS NULL OR lease_expires_at < clock_timestamp())
            RETURNING {_COLUMNS}
            """
        ),
        {
            "provider": provider.id,
            "owner": owner,
            "seconds": lease_seconds,
            "rate": provider.calls_per_second,
            "open": sorted(OPEN_PASSES),
        },
    ).first()
    return _pass(row) if row else None


def start(
    connection: Connection, provider: ServiceProvider, owner: str, lease_seconds: float, *, full: bool
) -> Pass | None:
    """Start a pass; None where one is open."""
    row = connection.execute(
        text(
            f"""
            INSERT INTO m2m.reconciliation_pass (tenant_id, service_provider_id, is_full, lease_owner, lease_expires_at,
                calls_per_second)
            VALUES (:tenant, :provider, :full, :owner, clock_timestamp() + make_interval(secs => :seconds), :rate)
            ON CONFLICT DO NOTHING RETURNING {_COLUMNS}
            """
        ),
        {
            "tenant": provider.tenant_id,
            "provider": provider.id,
            "full": full,
            "owner": owner,
            "seconds": lease_seconds,
            "rate": provider.calls_per_second,
        },
    ).first()
    return _pass(row) if row else None


def abandon_unfit(connection: Connection, provider: ServiceProvider, max_age_hours: float, *, full: bool) -> None:
    """Close the provider's open pass that nobody works on, where it is too old, or not `full` and a full one is due."""
    connection.execute(
        text(
            """
            WITH unfit AS (
                UPDATE m2m.reconciliation_pass
                SET phase = 'ABANDONED', finished_at = clock_timestamp(), lease_owner = NULL, lease_expires_at = NULL
                WHERE service_provider_id = :provider AND phase = ANY(:open)
                    AND (lease_owner IS NULL OR lease_expires_at < clock_timestamp())
                    AND (started_at < clock_timestamp() - make_interval(hours => CAST(:age AS int))
                        OR (:full AND NOT is_full))
                RETURNING id
            )
            DELETE FROM m2m.carrier_listing WHERE pass_id IN (SELECT id FROM unfit)
            """
        ),
        {"provider": provider.id, "open": sorted(OPEN_PASSES), "age": max_age_hours, "full": full},
    )


def full_is_due(connection: Connection, provider_id: int, every_hours: float) -> bool:
    """Whether the provider's last full pass began longer ago, or there was none."""
    return connection.execute(
        text(
            """
            SELECT NOT EXISTS (SELECT 1 FROM m2m.reconciliation_pass
                WHERE service_provider_id = :provider AND is_full AND phase = 'DONE'
                AND started_at > clock_timestamp() - make_interval(secs => :seconds))
            """
        ),
        {"provider": provider_id, "seconds": every_hours * 3600},
    ).scalar_one()


def watermark(connection: Connection, provider_id: int) -> datetime | None:
    """The carrier's moment at which the newest pass began that was full, or left nothing unchecked."""
    return connection.execute(
        text(
            """
            SELECT max(begun_at) FROM m2m.reconciliation_pass
            WHERE service_provider_id = :provider AND phase = 'DONE' AND (is_full OR unchecked = 0)
            """
        ),
        {"provider": provider_id},
    ).scalar_one()


def last_counts(connection: Connection, provider_id: int) -> Mapping[DriftCause, int]:
    """The devices that differed at the end of the provider's last pass, by cause."""
    counts = connection.execute(
        text(
            """
            SELECT counts FROM m2m.reconciliation_pass WHERE service_provider_id = :provider AND phase = 'DONE'
            ORDER BY finished_at DESC LIMIT 1
            """
        ),
        {"provider": provider_id},
    ).scalar_one_or_none()
    return {DriftCause(cause): devices for cause, devices in (counts or {}).items()}


def move(
    connection: Connection,
    work: Pass,
    lease_seconds: float,
    *,
    calls: int,
    checked: int = 0,
) -> None:
    """Write down how far the pass is, count what was done, and prolong the lease.

    Raises:
        PassLostError: another process goes on with it.

    """
    moved = connection.execute(
        text(
            """
            UPDATE m2m.reconciliation_pass
            SET phase = :phase, since = :since, begun_at = :begun_at, page = :page, sweeps = :sweeps,
                carrier_calls = carrier_calls + :calls, checked = checked + :checked,
                lease_expires_at = clock_timestamp() + make_interval(secs => :seconds)
            WHERE id = :id AND lease_owner = :owner
            """
        ),
        {
            "id": work.id,
            "owner": work.owner,
            "phase": work.phase.value,
            "since": work.since,
            "begun_at": work.begun_at,
            "page": work.page,
            "sweeps": work.sweeps,
            "calls": calls,
            "checked": checked,
            "seconds": lease_seconds,
        },
    ).rowcount
    if not moved:
        raise PassLostError(work.id)


def release(connection: Connection, work: Pass, calls: int) -> None:
    """Give the pass back, so that the next process need not wait for the lease to run out."""
    connection.execute(
        text(
            """
            UPDATE m2m.reconciliation_pass
            SET lease_owner = NULL, lease_expires_at = NULL, carrier_calls = carrier_calls + :calls
            WHERE id = :id AND lease_owner = :owner
            """
        ),
        {"id": work.id, "owner": work.owner, "calls": calls},
    )


def finish(connection: Connection, work: Pass, counts: Mapping[DriftCause, int], unchecked: int, calls: int) -> None:
    """End the pass: what it came to is kept, the list is not.

    Raises:
        PassLostError: another process goes on with it.

    """
    ended = connection.execute(
        text(
            """
            UPDATE m2m.reconciliation_pass
            SET phase = 'DONE', finished_at = clock_timestamp(), lease_owner = NULL, lease_expires_at = NULL,
                counts = CAST(:counts AS jsonb), unchecked = :unchecked, carrier_calls = carrier_calls + :calls,
                listed = (SELECT count(*) FROM m2m.carrier_listing WHERE pass_id = :id AND NOT is_gone)
            WHERE id = :id AND lease_owner = :owner
            """
        ),
        {
            "id": work.id,
            "owner": work.owner,
            "counts": json.dumps(counts),
            "unchecked": unchecked,
            "calls": calls,
        },
    ).rowcount
    if not ended:
        raise PassLostError(work.id)
    connection.execute(text("DELETE FROM m2m.carrier_listing WHERE pass_id = :id"), {"id": work.id})


def find_summary(connection: Connection, pass_id: int) -> PassSummary:
    """What a pass has come to so far."""
    row = connection.execute(
        text(
            """
            SELECT is_full, phase, listed, checked, unchecked, carrier_calls, counts, started_at, finished_at
            FROM m2m.reconciliation_pass WHERE id = :id
            """
        ),
        {"id": pass_id},
    ).one()
    return PassSummary(
        full=row.is_full,
        done=row.phase == PassPhase.DONE,
        listed=row.listed,
        checked=row.checked,
        unchecked=row.unchecked,
        carrier_calls=row.carrier_calls,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def _pass(row: Row[tuple[object, ...]]) -> Pass:
    return Pass(
        id=row.id,
        tenant_id=row.tenant_id,
        service_provider_id=row.service_provider_id,
        owner=row.lease_owner,
        full=row.is_full,
        phase=PassPhase(row.phase),
        since=row.since,
        begun_at=row.begun_at,
        page=row.page,
        sweeps=row.sweeps,
        checked=row.checked,
    )
