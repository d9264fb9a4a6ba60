"""What must hold of the rows, each as a question for those that break it: (row, what is wrong), the first hundred."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from m2m_pipeline.domain.drift import DRIFT
from m2m_pipeline.domain.reasons import ROW_FAULTS
from m2m_pipeline.domain.status import ENDED_BULK_CHANGES, FINISHABLE_DEVICES
from m2m_pipeline.storage.audit import UNTOLD
from m2m_pipeline.storage.device_changes import DATED
from m2m_pipeline.storage.overlaps import HAS_TO_WAIT

MOST = 100


@dataclass(frozen=True, slots=True)
class Scope:
    """Which rows are looked at: of one bulk change, or of all that ended in the last `days`; and the limits."""

    bulk_change_id: int | None
    days: int
    unknown_limit_hours: float
    drift_limit_share: float
    queue_limit_minutes: float


Broken = Sequence[tuple[str, str]]
Question = Callable[[Connection, Scope], Broken]

_ENDED = """
    b.status = ANY(:ended) AND (CAST(:id AS bigint) IS NULL OR b.id = :id)
    AND (:id IS NOT NULL
        OR greatest(b.finished_at, b.settled_at) > clock_timestamp() - make_interval(days => CAST(:days AS int)))
"""


def counts_off(connection: Connection, scope: Scope) -> Broken:
    """Ended bulk changes whose result document counts otherwise than their rows."""
    return _ask(
        connection,
        scope,
        f"""
        SELECT 'bulk change ' || b.id, 'document ' || coalesce(b.result->>'counts', 'none') || ', rows ' || c.counts
        FROM m2m.bulk_change b, LATERAL (SELECT coalesce(jsonb_object_agg(s.status, s.devices), '{{}}') AS counts
            FROM (SELECT status, count(*) AS devices FROM m2m.device_change WHERE bulk_change_id = b.id GROUP BY 1) s) c
        WHERE {_ENDED} AND b.result->'counts' IS DISTINCT FROM c.counts ORDER BY b.id LIMIT {MOST}
        """,
    )


def open_after_the_end(connection: Connection, scope: Scope) -> Broken:
    """Devices of ended bulk changes that are neither settled nor handed to reconciliation."""
    return _ask(
        connection,
        scope,
        f"""
        SELECT 'bulk change ' || b.id, count(*) || ' devices are open, the first in row ' || min(c.row_number)
        FROM m2m.bulk_change b JOIN m2m.device_change c ON c.bulk_change_id = b.id
        WHERE {_ENDED} AND NOT c.status = ANY(:finishable) GROUP BY b.id ORDER BY b.id LIMIT {MOST}
        """,
    )


def left_refused(connection: Connection, scope: Scope) -> Broken:
    """Ended bulk changes with refused devices that another try may help."""
    return _ask(
        connection,
        scope,
        f"""
        SELECT 'bulk change ' || b.id, count(*) || ' devices were refused, the first in row ' || min(c.row_number)
        FROM m2m.bulk_change b JOIN m2m.device_change c ON c.bulk_change_id = b.id
        WHERE {_ENDED} AND c.status = 'REFUSED' AND c.reason <> ALL(:faults) AND b.status <> 'REJECTED'
        GROUP BY b.id ORDER BY b.id LIMIT {MOST}
        """,
    )


def untold(connection: Connection, scope: Scope) -> Broken:
    """Devices of ended bulk changes whose end has no audit entry."""
    return _ask(
        connection,
        scope,
        f"""
        SELECT 'bulk change ' || b.id, count(*) || ' devices without an entry, the first in row ' || min(c.row_number)
        FROM m2m.bulk_change b JOIN m2m.device_change c ON c.bulk_change_id = b.id
        WHERE {_ENDED} AND {UNTOLD} GROUP BY b.id ORDER BY b.id LIMIT {MOST}
        """,
    )


def off_the_carrier(connection: Connection, scope: Scope) -> Broken:
    """Bulk changes with devices that were moved, and that the carrier shows otherwise now without AMOP knowing why."""
    return _ask(
        connection,
        scope,
        f"""
        SELECT 'bulk change ' || c.bulk_change_id, count(*) || ' devices that it moved have drifted since'
        FROM m2m.drift r JOIN LATERAL (SELECT bulk_change_id FROM m2m.device_change
            WHERE service_provider_id = r.service_provider_id AND iccid = r.iccid AND status = 'PROCESSED'
            AND rate_plan = r.amop_rate_plan ORDER BY ended_at DESC LIMIT 1) c ON true
        WHERE r.resolved_at IS NULL AND r.cause = ANY(:drift)
            AND (CAST(:id AS bigint) IS NULL OR c.bulk_change_id = :id)
        GROUP BY c.bulk_change_id ORDER BY 1 LIMIT {MOST}
        """,
    )


def unknown_too_long(connection: Connection, scope: Scope) -> Broken:
    """Devices of ended bulk changes whose outcome has been unknown for longer than the limit."""
    return _ask(
        connection,
        scope,
        f"""
        SELECT 'bulk change ' || b.id, count(*) || ' devices unknown since ' || date_trunc('second', min(b.finished_at))
        FROM m2m.bulk_change b JOIN m2m.device_change c ON c.bulk_change_id = b.id
        WHERE b.status = ANY(:ended) AND (CAST(:id AS bigint) IS NULL OR b.id = :id) AND c.status = 'UNCONFIRMED'
            AND greatest(b.finished_at, CASE WHEN {DATED} THEN b.effective_date + 2 END)
                < clock_timestamp() - make_interval(secs => :unknown_hours * 3600)
        GROUP BY b.id ORDER BY b.id LIMIT {MOST}
        """,
    )


def too_much_drift(connection: Connection, scope: Scope) -> Broken:
    """Providers with more drift than the limit."""
    return _ask(
        connection,
        scope,
        f"""
        SELECT t.name || '/' || p.name, r.devices || ' of ' || d.devices || ' devices have drifted'
        FROM m2m.service_provider p JOIN m2m.tenant t ON t.id = p.tenant_id,
            LATERAL (SELECT count(*) AS devices FROM m2m.drift
                WHERE service_provider_id = p.id AND resolved_at IS NULL AND cause = ANY(:drift)) r,
            LATERAL (SELECT count(*) AS devices FROM m2m.device WHERE service_provider_id = p.id) d
        WHERE r.devices > :drift_share * d.devices ORDER BY 1 LIMIT {MOST}
        """,
    )


def over_budget(connection: Connection, scope: Scope) -> Broken:
    """Bulk changes and passes that called, over the whole time of their work, more often than their account allows.

    Each lease under which somebody worked began with a call that needed no wait.
    """
    return _ask(
        connection,
        scope,
        f"""
        SELECT u.kind || u.id, u.carrier_calls || ' calls in ' || round(u.seconds::numeric, 1) || ' s at '
            || p.calls_per_second || ' calls/s'
        FROM (
            SELECT 'bulk change ' AS kind, b.id, b.service_provider_id, b.carrier_calls, b.work_seconds AS seconds,
                b.lease_token AS leases FROM m2m.bulk_change b
            WHERE {_ENDED}
            UNION ALL
            SELECT 'pass ', id, service_provider_id, carrier_calls, extract(epoch FROM finished_at - started_at), 1
            FROM m2m.reconciliation_pass WHERE :id IS NULL AND phase = 'DONE'
                AND finished_at > clock_timestamp() - make_interval(days => CAST(:days AS int))
        ) u JOIN m2m.service_provider p ON p.id = u.service_provider_id
        WHERE u.carrier_calls > (u.seconds + u.leases) * greatest(p.calls_per_second, 1) ORDER BY 1 LIMIT {MOST}
        """,
    )


def stuck_in_the_queue(connection: Connection, scope: Scope) -> Broken:
    """Bulk changes that have waited for a run for longer than the limit, and for no other bulk change."""
    return _ask(
        connection,
        scope,
        f"""
        SELECT 'bulk change ' || b.id, 'queued since ' || date_trunc('second', b.attempt_queued_at)
        FROM m2m.bulk_change b WHERE b.status = 'QUEUED' AND (CAST(:id AS bigint) IS NULL OR b.id = :id)
            AND b.attempt_queued_at < clock_timestamp() - make_interval(secs => :queue_minutes * 60)
            AND NOT {HAS_TO_WAIT}
        ORDER BY b.attempt_queued_at LIMIT {MOST}
        """,
    )


def _ask(connection: Connection, scope: Scope, question: str) -> Broken:
    rows = connection.execute(
        text(question),
        {
            "id": scope.bulk_change_id,
            "days": scope.days,
            "unknown_hours": scope.unknown_limit_hours,
            "drift_share": scope.drift_limit_share,
            "queue_minutes": scope.queue_limit_minutes,
            "ended": sorted(ENDED_BULK_CHANGES),
            "finishable": sorted(FINISHABLE_DEVICES),
            "faults": sorted(ROW_FAULTS),
            "drift": sorted(DRIFT),
        },
    )
    return [(str(row[0]), str(row[1])) for row in rows]
