"""Drift that can be repaired: by AMOP following the carrier, or by a bulk change back."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from m2m_pipeline.domain.accounts import ServiceProvider
from m2m_pipeline.domain.drift import FOLLOWED, MOVED_BACK
from m2m_pipeline.domain.status import OPEN_DEVICES
from m2m_pipeline.storage.differences import a_neighbours

# Nobody has touched the device since it was found to differ.
_UNTOUCHED = """
    r.service_provider_id = :provider AND r.resolved_at IS NULL AND r.cause = ANY(:causes)
    AND (r.amop_rate_plan, r.amop_communication_plan) IS NOT DISTINCT FROM (d.rate_plan, d.communication_plan)
    AND NOT EXISTS (SELECT 1 FROM m2m.device_change c WHERE c.service_provider_id = :provider AND c.iccid = r.iccid
        AND c.status = ANY(:open))
"""

# What the carrier showed then it shows now: each pass since has looked at every device that was modified.
_FRESH = """
    NOT EXISTS (SELECT 1 FROM m2m.reconciliation_pass p WHERE p.service_provider_id = :provider AND p.phase = 'DONE'
        AND p.id > r.pass_id AND p.unchecked > 0)
"""

# Somebody has said no to the way back since: the next pass does not ask again.
_DECLINED = """
    EXISTS (SELECT 1 FROM m2m.device_change w WHERE w.service_provider_id = :provider AND w.iccid = r.iccid
        AND w.reason = 'WITHDRAWN' AND w.rate_plan = r.amop_rate_plan AND w.ended_at > r.first_seen_at)
"""


@dataclass(frozen=True, slots=True)
class WayBack:
    """Devices that are to be moved back to one plan, and from one plan."""

    tenant: str
    rate_plan: str
    communication_plan: str | None
    iccids: Sequence[str]


def follow(connection: Connection, provider: ServiceProvider) -> Sequence[int]:
    """Bring AMOP's inventory to what the carrier shows, and close the records; their ids."""
    followed = connection.execute(
        text(
            f"""
            WITH chosen AS (
                SELECT r.* FROM m2m.drift r
                LEFT JOIN m2m.device d ON d.service_provider_id = r.service_provider_id AND d.iccid = r.iccid
                WHERE {_UNTOUCHED} AND {_FRESH} AND NOT {a_neighbours("r.iccid")} AND r.carrier_rate_plan IS NOT NULL
                FOR UPDATE OF r
            ), plans AS (
                INSERT INTO m2m.carrier_rate_plan (tenant_id, service_provider_id, name)
                SELECT DISTINCT tenant_id, service_provider_id, carrier_rate_plan FROM chosen
                ON CONFLICT (service_provider_id, name) DO UPDATE SET retired_at = NULL
            ), devices AS (
                INSERT INTO m2m.device AS d (tenant_id, service_provider_id, iccid, rate_plan, communication_plan)
                SELECT tenant_id, service_provider_id, iccid, carrier_rate_plan, carrier_communication_plan FROM chosen
                ON CONFLICT (service_provider_id, iccid) DO UPDATE SET rate_plan = excluded.rate_plan,
                    communication_plan = coalesce(excluded.communication_plan, d.communication_plan),
                    updated_at = clock_timestamp()
            )
            UPDATE m2m.drift r SET resolved_at = clock_timestamp(), resolution = 'AMOP_FOLLOWED'
            FROM chosen WHERE r.id = chosen.id RETURNING r.id
            """
        ),
        {
            "tenant": provider.tenant_id,
            "provider": provider.id,
            "causes": sorted(FOLLOWED),
            "open": sorted(OPEN_DEVICES),
        },
    )
    return followed.scalars().all()


def ways_back(connection: Connection, provider: ServiceProvider) -> Sequence[WayBack]:
    """What bulk changes would bring the carrier back to AMOP's plans: one for each plan. None that was declined."""
    rows = connection.execute(
        text(
            f"""
            SELECT t.name AS tenant, r.amop_rate_plan AS rate_plan, CASE
                WHEN r.carrier_communication_plan <> r.amop_communication_plan THEN r.amop_communication_plan
                END AS communication_plan, array_agg(r.iccid ORDER BY r.iccid) AS iccids
            FROM m2m.drift r JOIN m2m.tenant t ON t.id = r.tenant_id
            JOIN m2m.device d ON d.service_provider_id = r.service_provider_id AND d.iccid = r.iccid
            WHERE {_UNTOUCHED} AND NOT {_DECLINED} AND r.amop_rate_plan IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 2, 3
            """
        ),
        {"provider": provider.id, "causes": sorted(MOVED_BACK), "open": sorted(OPEN_DEVICES)},
    )
    return [WayBack(row.tenant, row.rate_plan, row.communication_plan, tuple(row.iccids)) for row in rows]


def waiting(connection: Connection, provider: ServiceProvider, actor: str) -> Sequence[int]:
    """The bulk changes of the provider that `actor` has prepared, and that nobody has sent; the oldest first."""
    return (
        connection.execute(
            text(
                """
                SELECT id FROM m2m.bulk_change
                WHERE service_provider_id = :provider AND status = 'NEW' AND requested_by = :actor ORDER BY id
                """
            ),
            {"provider": provider.id, "actor": actor},
        )
        .scalars()
        .all()
    )
