"""What must hold of the rows, each as a question for those that break it: the first hundred."""

from sqlalchemy import Connection

from m2m_pipeline.storage.audit import UNTOLD
from m2m_pipeline.storage.breaches import MOST, Broken, Scope
from m2m_pipeline.storage.breaches import ask as _ask
from m2m_pipeline.storage.device_changes import DATED
from m2m_pipeline.storage.overlaps import HAS_TO_WAIT

WORDS_OF_CHANGE = """
    b.id AS "ID", (SELECT name FROM m2m.service_provider WHERE id = b.service_provider_id) AS "NAME",
    (SELECT name FROM m2m.tenant WHERE id = b.tenant_id) AS "TENANT"
"""
"""Columns that are the placeholders of commands about a bulk change `b`."""

STUCK = f"""
    b.status = 'QUEUED' AND b.attempt_queued_at < clock_timestamp() - make_interval(secs => :queue_minutes * 60)
    AND NOT {HAS_TO_WAIT} AND NOT EXISTS (SELECT 1 FROM m2m.bulk_change w
        WHERE w.service_provider_id = b.service_provider_id AND w.status = 'PROCESSING'
        AND w.lease_expires_at > clock_timestamp())
"""
"""Condition on a bulk change `b`: it has waited for longer than the limit, for no other, while its account is idle."""

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
        SELECT 'bulk change ' || b.id, 'document ' || coalesce(b.result->>'counts', 'none') || ', rows ' || c.counts,
            {WORDS_OF_CHANGE}
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
        SELECT 'bulk change ' || b.id, count(*) || ' devices are open, the first in row ' || min(c.row_number),
            {WORDS_OF_CHANGE}
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
        SELECT 'bulk change ' || b.id, count(*) || ' devices were refused, the first in row ' || min(c.row_number),
            {WORDS_OF_CHANGE}
        FROM m2m.bulk_change b JOIN m2m.device_change c ON c.bulk_change_id = b.id
        WHERE {_ENDED} AND c.status = 'REFUSED' AND c.reason <> ALL(:faults) AND b.status <> 'REJECTED'
        GROUP BY b.id ORDER BY b.id LIMIT {MOST}
        """,
    )


def untold(connection: Connection, scope: Scope) -> Broken:
    """Ended bulk changes that the audit log does not tell whole: their end, their devices' ends, what was called."""
    devices = "FROM m2m.bulk_change b JOIN m2m.device_change c ON c.bulk_change_id = b.id"
    endings = f"""
        SELECT 'bulk change ' || b.id, count(*) || ' devices without an entry, the first in row ' || min(c.row_number),
            {WORDS_OF_CHANGE}
        {devices} WHERE {_ENDED} AND {UNTOLD} GROUP BY b.id ORDER BY b.id LIMIT {MOST}
    """
    calls = f"""
        SELECT 'bulk change ' || b.id, count(*) || ' devices were moved and no entry tells what the carrier said, '
            'the first in row ' || min(c.row_number), {WORDS_OF_CHANGE}
        {devices} WHERE {_ENDED} AND c.status = 'PROCESSED' AND NOT EXISTS (SELECT 1 FROM m2m.audit_entry a
            WHERE a.bulk_change_id = c.bulk_change_id AND a.device_change_id = c.id
            AND a.kind IN ('CARRIER_CALL', 'CARRIER_READ') AND a.outcome = 'APPLIED')
        GROUP BY b.id ORDER BY b.id LIMIT {MOST}
    """
    ends = f"""
        SELECT 'bulk change ' || b.id, 'its end as ' || b.status || ' has no entry', {WORDS_OF_CHANGE}
        FROM m2m.bulk_change b WHERE {_ENDED} AND NOT EXISTS (SELECT 1 FROM m2m.audit_entry a
            WHERE a.bulk_change_id = b.id AND a.device_change_id IS NULL
            AND a.kind = 'BULK_CHANGE_ENDED' AND a.outcome = b.status)
        ORDER BY b.id LIMIT {MOST}
    """
    return [one for question in (endings, calls, ends) for one in _ask(connection, scope, question)][:MOST]


def off_the_carrier(connection: Connection, scope: Scope) -> Broken:
    """Bulk changes that moved devices last of which AMOP and the carrier show different plans now, unexplained.

    Whoever's plan was altered, and to what: a later bulk change takes the device over, an import into AMOP does not.
    """
    return _ask(
        connection,
        scope,
        f"""
        SELECT 'bulk change ' || b.id, count(*) || ' devices that it moved have drifted since', {WORDS_OF_CHANGE}
        FROM m2m.drift r JOIN LATERAL (SELECT bulk_change_id FROM m2m.device_change
            WHERE service_provider_id = r.service_provider_id AND iccid = r.iccid AND status = 'PROCESSED'
            ORDER BY ended_at DESC LIMIT 1) c ON true JOIN m2m.bulk_change b ON b.id = c.bulk_change_id
        WHERE r.resolved_at IS NULL AND r.cause = ANY(:drift) AND (CAST(:id AS bigint) IS NULL OR b.id = :id)
        GROUP BY b.id ORDER BY b.id LIMIT {MOST}
        """,
    )


def unknown_too_long(connection: Connection, scope: Scope) -> Broken:
    """Devices of ended bulk changes whose outcome has been unknown for longer than the limit."""
    return _ask(
        connection,
        scope,
        f"""
        SELECT 'bulk change ' || b.id,
            count(*) || ' devices unknown since ' || date_trunc('second', min(b.finished_at)), {WORDS_OF_CHANGE}
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
        SELECT t.name || '/' || p.name, r.devices || ' of ' || d.devices || ' devices have drifted',
            p.name AS "NAME", t.name AS "TENANT"
        FROM m2m.service_provider p JOIN m2m.tenant t ON t.id = p.tenant_id,
            LATERAL (SELECT count(*) AS devices FROM m2m.drift
                WHERE service_provider_id = p.id AND resolved_at IS NULL AND cause = ANY(:drift)) r,
            -- The inventory is counted only where something has drifted: the watcher asks twice a minute.
            LATERAL (SELECT count(*) AS devices FROM m2m.device WHERE service_provider_id = p.id AND r.devices > 0) d
        WHERE r.devices > :drift_share * d.devices ORDER BY 1 LIMIT {MOST}
        """,
    )


def not_reconciled(connection: Connection, scope: Scope) -> Broken:
    """Providers with a credential and devices that no complete pass has compared within the limit.

    One that is younger than the limit is given the time.
    """
    return _ask(
        connection,
        scope,
        f"""
        SELECT t.name || '/' || p.name, coalesce('last compared '
            || to_char(f.at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC', 'never compared'),
            p.name AS "NAME", t.name AS "TENANT"
        FROM m2m.service_provider p JOIN m2m.tenant t ON t.id = p.tenant_id,
            LATERAL (SELECT max(finished_at) AS at FROM m2m.reconciliation_pass
                WHERE service_provider_id = p.id AND phase = 'DONE') f
        WHERE coalesce(f.at, p.created_at) < clock_timestamp() - make_interval(secs => :reconcile_hours * 3600)
            AND EXISTS (SELECT 1 FROM m2m.carrier_credential WHERE service_provider_id = p.id)
            AND EXISTS (SELECT 1 FROM m2m.device WHERE service_provider_id = p.id)
        ORDER BY 1 LIMIT {MOST}
        """,
    )


def over_budget(connection: Connection, scope: Scope) -> Broken:
    """Bulk changes and passes that called, over the time of their work, more often than their account allowed then.

    Each lease under which somebody worked began with a call that needed no wait.
    """
    return _ask(
        connection,
        scope,
        f"""
        SELECT u.kind || u.id, u.carrier_calls || ' calls in ' || round(u.seconds::numeric, 1) || ' s at '
            || u.calls_per_second || ' calls/s'
        FROM (
            SELECT 'bulk change ' AS kind, b.id, b.carrier_calls, b.work_seconds AS seconds, b.lease_token AS leases,
                b.calls_per_second
            FROM m2m.bulk_change b WHERE {_ENDED}
            UNION ALL
            SELECT 'pass ', id, carrier_calls, extract(epoch FROM finished_at - started_at), 1, calls_per_second
            FROM m2m.reconciliation_pass WHERE :id IS NULL AND phase = 'DONE'
                AND finished_at > clock_timestamp() - make_interval(days => CAST(:days AS int))
        ) u
        WHERE u.carrier_calls > (u.seconds + u.leases) * greatest(u.calls_per_second, 1) ORDER BY 1 LIMIT {MOST}
        """,
    )


def stuck_in_the_queue(connection: Connection, scope: Scope) -> Broken:
    """Bulk changes that have waited for longer than the limit, and for no other, while their account is idle."""
    return _ask(
        connection,
        scope,
        f"""
        SELECT 'bulk change ' || b.id, 'queued since ' || date_trunc('second', b.attempt_queued_at),
            {WORDS_OF_CHANGE}
        FROM m2m.bulk_change b WHERE {STUCK} AND (CAST(:id AS bigint) IS NULL OR b.id = :id)
        ORDER BY b.attempt_queued_at LIMIT {MOST}
        """,
    )
