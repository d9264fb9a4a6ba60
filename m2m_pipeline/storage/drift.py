"""Records of devices on which AMOP and the carrier differ."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, text

from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.domain.drift import DRIFT, AmopView, DriftCause
from m2m_pipeline.domain.passes import Pass
from m2m_pipeline.storage.differences import DIFFERS, a_neighbours

ITERATION_ROWS = 5_000
DRIFT_COLUMNS = (
    "iccid",
    "cause",
    "amop_rate_plan",
    "carrier_rate_plan",
    "amop_communication_plan",
    "carrier_communication_plan",
    "first_seen_at",
    "last_seen_at",
)

_AS_WORDS = ", ".join(
    f'to_char({name}, \'YYYY-MM-DD"T"HH24:MI:SS"Z"\')' if name.endswith("_at") else f"coalesce({name}, '')"
    for name in DRIFT_COLUMNS
)


def record(
    connection: Connection, work: Pass, found: Sequence[tuple[DriftCause, AmopView, DeviceReading | None]]
) -> None:
    """Keep differences: a device that differed before keeps the moment at which it was seen first."""
    connection.execute(
        text(
            """
            INSERT INTO m2m.drift (tenant_id, service_provider_id, pass_id, iccid, cause, amop_rate_plan,
                amop_communication_plan, carrier_rate_plan, carrier_communication_plan)
            SELECT :tenant, :provider, :pass, s.* FROM unnest(CAST(:iccid AS text[]), CAST(:cause AS text[]),
                CAST(:amop_rate_plan AS text[]), CAST(:amop_communication_plan AS text[]),
                CAST(:carrier_rate_plan AS text[]), CAST(:carrier_communication_plan AS text[])) AS s
            ON CONFLICT (service_provider_id, iccid) WHERE resolved_at IS NULL DO UPDATE SET pass_id = excluded.pass_id,
                cause = excluded.cause, amop_rate_plan = excluded.amop_rate_plan,
                amop_communication_plan = excluded.amop_communication_plan,
                carrier_rate_plan = excluded.carrier_rate_plan,
                carrier_communication_plan = excluded.carrier_communication_plan, last_seen_at = clock_timestamp()
            """
        ),
        {
            "tenant": work.tenant_id,
            "provider": work.service_provider_id,
            "pass": work.id,
            "iccid": [amop.iccid for _, amop, _ in found],
            "cause": [cause.value for cause, _, _ in found],
            "amop_rate_plan": [amop.rate_plan for _, amop, _ in found],
            "amop_communication_plan": [amop.communication_plan for _, amop, _ in found],
            "carrier_rate_plan": [reading.rate_plan if reading else None for _, _, reading in found],
            "carrier_communication_plan": [reading.communication_plan if reading else None for _, _, reading in found],
        },
    )


def resolve(connection: Connection, work: Pass) -> int:
    """Close the records that this pass, or AMOP's own rows, show to be over; how many."""
    return connection.execute(
        text(
            f"""
            UPDATE m2m.drift r SET resolved_at = clock_timestamp(), resolution = over.how
            FROM (
                SELECT q.id, CASE
                    WHEN l.iccid IS NOT NULL AND NOT {DIFFERS} THEN CASE
                        WHEN (q.amop_rate_plan, q.amop_communication_plan)
                            IS NOT DISTINCT FROM (d.rate_plan, d.communication_plan) THEN 'CARRIER_RETURNED'
                        ELSE 'AMOP_FOLLOWED' END
                    WHEN d.iccid IS NULL AND q.cause <> 'DEVICE_NEW' AND (l.is_gone OR (l.iccid IS NULL AND :full))
                        THEN 'GONE_FROM_BOTH'
                    WHEN d.iccid IS NULL AND q.cause = 'DEVICE_NEW' AND (l.is_gone OR (l.iccid IS NULL AND :full))
                        THEN 'CARRIER_RETURNED'
                    WHEN l.iccid IS NULL AND d.iccid IS NOT NULL AND q.cause <> 'DEVICE_GONE'
                        AND q.carrier_rate_plan = d.rate_plan
                        AND q.carrier_communication_plan IS NOT DISTINCT FROM d.communication_plan THEN 'AMOP_FOLLOWED'
                    WHEN {a_neighbours("q.iccid")} THEN 'AMOP_FOLLOWED'
                    END AS how
                FROM m2m.drift q
                LEFT JOIN m2m.carrier_listing l ON l.pass_id = :pass AND l.iccid = q.iccid
                LEFT JOIN m2m.device d ON d.service_provider_id = :provider AND d.iccid = q.iccid
                WHERE q.service_provider_id = :provider AND q.resolved_at IS NULL
            ) over
            WHERE r.id = over.id AND over.how IS NOT NULL
            """
        ),
        {"pass": work.id, "tenant": work.tenant_id, "provider": work.service_provider_id, "full": work.full},
    ).rowcount


def count_open(connection: Connection, provider_id: int) -> dict[DriftCause, int]:
    """The provider's devices that differ, by cause."""
    rows = connection.execute(
        text(
            """
            SELECT cause, count(*) AS devices FROM m2m.drift
            WHERE service_provider_id = :provider AND resolved_at IS NULL GROUP BY cause ORDER BY cause
            """
        ),
        {"provider": provider_id},
    )
    return {DriftCause(row.cause): row.devices for row in rows}


def count_new(connection: Connection, work: Pass) -> int:
    """The devices whose drift this pass has seen first."""
    return connection.execute(
        text(
            """
            SELECT count(*) FROM m2m.drift r JOIN m2m.reconciliation_pass p ON p.id = :pass
            WHERE r.service_provider_id = :provider AND r.resolved_at IS NULL AND r.cause = ANY(:drift)
                AND r.first_seen_at >= p.started_at
            """
        ),
        {
            "pass": work.id,
            "provider": work.service_provider_id,
            "drift": sorted(DRIFT),
        },
    ).scalar_one()


def each_open(connection: Connection, provider_id: int) -> Iterator[tuple[str, ...]]:
    """The provider's open records by ICCID, each as `DRIFT_COLUMNS` names it; moments in UTC, '' for none."""
    rows = connection.execution_options(yield_per=ITERATION_ROWS).execute(
        text(
            f"""
            SELECT {_AS_WORDS} FROM m2m.drift
            WHERE service_provider_id = :provider AND resolved_at IS NULL ORDER BY iccid
            """
        ),
        {"provider": provider_id},
    )
    for row in rows:
        yield tuple(row)
