"""The audit log: written in the transaction of what it tells, never changed afterwards."""

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, text

from m2m_pipeline.domain.accounts import ServiceProvider
from m2m_pipeline.domain.attempt import Attempt
from m2m_pipeline.domain.audit import AuditKind
from m2m_pipeline.domain.change import Step
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.status import SETTLED_DEVICES


def write(
    connection: Connection,
    kind: AuditKind,
    *,
    tenant_id: int,
    actor: str,
    outcome: str,
    service_provider_id: int | None = None,
    bulk_change_id: int | None = None,
    reason: ReasonCode | None = None,
    message: str | None = None,
    request: Mapping[str, object] | None = None,
) -> None:
    """One entry about a bulk change or an account."""
    connection.execute(
        text(
            """
            INSERT INTO m2m.audit_entry (tenant_id, kind, actor, outcome, service_provider_id, bulk_change_id,
                reason, message, request)
            VALUES (:tenant, :kind, :actor, :outcome, :provider, :bulk_change, :reason, :message, CAST(:request
                AS jsonb))
            """
        ),
        {
            "tenant": tenant_id,
            "kind": kind.value,
            "actor": actor,
            "outcome": outcome,
            "provider": service_provider_id,
            "bulk_change": bulk_change_id,
            "reason": reason,
            "message": message,
            "request": json.dumps(request) if request is not None else None,
        },
    )


def write_kept_out(connection: Connection, attempt: Attempt, reason: ReasonCode, message: str) -> None:
    """The security entry: the carrier, or a rule of ours, did not let an attempt in."""
    connection.execute(
        text(
            """
            INSERT INTO m2m.audit_entry (tenant_id, kind, actor, outcome, service_provider_id, bulk_change_id, reason,
                message)
            SELECT tenant_id, :kind, :actor, 'DENIED', service_provider_id, id, :reason, :message
            FROM m2m.bulk_change
            WHERE id = :id
            """
        ),
        {
            "id": attempt.bulk_change_id,
            "kind": AuditKind.CARRIER_SIGN_IN_FAILED.value,
            "actor": f"run {attempt.owner}",
            "reason": reason.value,
            "message": message,
        },
    )


def write_steps(connection: Connection, attempt: Attempt, steps: Sequence[Step]) -> None:
    """One entry for each step that carries one: the call or reading, and what was answered."""
    told = [step for step in steps if step.entry is not None]
    if not told:
        return
    connection.execute(
        text(
            """
            INSERT INTO m2m.audit_entry (tenant_id, kind, actor, service_provider_id, bulk_change_id,
                device_change_id, retry, iccid, old_rate_plan, new_rate_plan, outcome, reason, message, request,
                response)
            SELECT c.tenant_id, s.kind, :actor, c.service_provider_id, c.bulk_change_id, c.id, c.retry, c.iccid,
                c.old_rate_plan, c.rate_plan, s.outcome, s.reason, s.message,
                jsonb_strip_nulls(jsonb_build_object('attempt', s.attempts, 'ratePlan', c.rate_plan,
                'communicationPlan', c.communication_plan)), jsonb_build_object('httpStatus', s.http_status,
                'errorCode', s.carrier_code)
            FROM unnest(CAST(:id AS bigint[]), CAST(:kind AS text[]), CAST(:outcome AS text[]), CAST(:reason AS
                text[]), CAST(:message AS text[]), CAST(:http_status AS bigint[]), CAST(:carrier_code AS
                text[]), CAST(:attempts AS bigint[])) AS s(id, kind, outcome, reason, message, http_status,
                carrier_code, attempts)
            JOIN m2m.device_change c ON c.id = s.id
            """
        ),
        {
            "actor": f"run {attempt.owner}",
            "id": [step.device_change_id for step in told],
            "kind": [step.entry for step in told],
            "outcome": [step.status.value for step in told],
            "reason": [step.reason for step in told],
            "message": [step.message for step in told],
            "http_status": [step.http_status for step in told],
            "carrier_code": [step.carrier_code for step in told],
            "attempts": [step.attempts for step in told],
        },
    )


def write_repaired(connection: Connection, provider: ServiceProvider, actor: str, drift_ids: Sequence[int]) -> None:
    """One entry for each device of which AMOP has taken over what the carrier shows."""
    connection.execute(
        text(
            """
            INSERT INTO m2m.audit_entry (tenant_id, kind, actor, service_provider_id, iccid, old_rate_plan,
                new_rate_plan, outcome, message)
            SELECT tenant_id, :kind, :actor, service_provider_id, iccid, amop_rate_plan, carrier_rate_plan,
                'AMOP_FOLLOWED', 'Drift, ' || cause || ', seen first at ' || first_seen_at || '.'
            FROM m2m.drift WHERE id = ANY(:ids) AND service_provider_id = :provider ORDER BY iccid
            """
        ),
        {
            "kind": AuditKind.DRIFT_REPAIRED.value,
            "actor": actor,
            "provider": provider.id,
            "ids": list(drift_ids),
        },
    )


# Which entry tells of a device's end: AMOP's update where the carrier was changed, the end itself otherwise.
_ENDING_KIND = "CASE WHEN c.status IN ('PROCESSED', 'AMOP_FAILED') THEN 'AMOP_UPDATE' ELSE 'DEVICE_ENDED' END"
_ENDED = "c.status IN ('PROCESSED', 'AMOP_FAILED', 'REFUSED', 'SKIPPED', 'UNCONFIRMED')"
# The bulk change, too, by which the entries are indexed: a planner that expects few devices reads the whole log else.
UNTOLD = (
    f"{_ENDED} AND NOT EXISTS (SELECT 1 FROM m2m.audit_entry a "
    f"WHERE a.bulk_change_id = c.bulk_change_id AND a.device_change_id = c.id "
    f"AND a.kind = {_ENDING_KIND} AND a.outcome = c.status AND a.retry = c.retry)"
)


def write_endings(
    connection: Connection, bulk_change_id: int, actor: str, batch: int | None = None, *, settled_only: bool = False
) -> int:
    """The missing entries of devices that have ended (in one batch, or in all); how many. Idempotent.

    `settled_only`: this attempt goes on to read back what an earlier one left UNCONFIRMED: that is no end.
    """
    return connection.execute(
        text(
            f"""
            INSERT INTO m2m.audit_entry (tenant_id, kind, actor, service_provider_id, bulk_change_id,
                device_change_id, retry, iccid, old_rate_plan, new_rate_plan, outcome, reason, message)
            SELECT c.tenant_id, {_ENDING_KIND}, :actor, c.service_provider_id, c.bulk_change_id, c.id, c.retry,
                c.iccid, c.old_rate_plan, CASE WHEN c.status IN ('PROCESSED', 'AMOP_FAILED') THEN c.rate_plan END,
                c.status, c.reason, c.message
            FROM m2m.device_change c
            WHERE c.bulk_change_id = :id AND (CAST(:batch AS bigint) IS NULL OR c.batch = :batch) AND {UNTOLD}
                AND (c.status = ANY(:settled) OR NOT :settled_only)
            ON CONFLICT DO NOTHING
            """
        ),
        {
            "id": bulk_change_id,
            "actor": actor,
            "batch": batch,
            "settled": sorted(SETTLED_DEVICES),
            "settled_only": settled_only,
        },
    ).rowcount
