"""AMOP's inventory of devices."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from m2m_pipeline.domain.accounts import ServiceProvider
from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.domain.status import OPEN_DEVICES, UNDER_WAY

_OPEN = ", ".join(f"'{status}'" for status in sorted(OPEN_DEVICES))
# One text instead of an array of them: the driver would make a parameter of each of 100,000.
_REQUESTED = "json_array_elements_text(CAST(:iccids AS json)) AS r(iccid)"


@dataclass(frozen=True, slots=True)
class HinderedDevice:
    """A device of a request that is not simply free to be sent."""

    iccid: str
    known: bool  # the inventory has it
    bulk_change_id: int | None  # which has it, or waits for it
    under_way: bool  # that bulk change comes to its end by itself


@dataclass(frozen=True, slots=True)
class DevicePlans:
    """What AMOP believes a device to be on."""

    rate_plan: str | None
    communication_plan: str | None


def find_hindered(connection: Connection, provider_id: int, iccids: Sequence[str]) -> Sequence[HinderedDevice]:
    """Those of `iccids` that are not among the provider's devices, or that a bulk change has or waits for.

    Each is looked up by itself: what is open comes and goes too quickly for the planner's statistics, and a join that
    it plans for one open device compares each of 100,000 with each of 100,000.
    """
    rows = connection.execute(
        text(
            f"""
            SELECT r.iccid, d.id IS NOT NULL AS known, b.id AS bulk_change_id,
                coalesce(b.status = ANY(:under_way), false) AS under_way
            FROM {_REQUESTED}
            LEFT JOIN m2m.device d ON d.service_provider_id = :provider AND d.iccid = r.iccid
            LEFT JOIN LATERAL (SELECT bulk_change_id FROM m2m.device_change
                WHERE service_provider_id = :provider AND iccid = d.iccid AND status IN ({_OPEN}) LIMIT 1) c ON true
            LEFT JOIN (SELECT iccid, max(bulk_change_id) AS bulk_change_id FROM m2m.device_change
                WHERE service_provider_id = :provider AND status = 'WAITING' GROUP BY iccid) w ON w.iccid = d.iccid
            LEFT JOIN m2m.bulk_change b ON b.id = coalesce(c.bulk_change_id, w.bulk_change_id)
            WHERE d.id IS NULL OR b.id IS NOT NULL
            """
        ),
        {"provider": provider_id, "iccids": json.dumps(iccids), "under_way": sorted(UNDER_WAY)},
    )
    return [HinderedDevice(*row) for row in rows]


def find_plans(connection: Connection, provider_id: int, iccids: Sequence[str]) -> dict[str, DevicePlans]:
    """The plans of a provider's devices among `iccids`, by ICCID."""
    rows = connection.execute(
        text(
            f"""
            SELECT d.iccid, d.rate_plan, d.communication_plan
            FROM {_REQUESTED} JOIN m2m.device d ON d.service_provider_id = :provider AND d.iccid = r.iccid
            """
        ),
        {"provider": provider_id, "iccids": json.dumps(iccids)},
    )
    return {iccid: DevicePlans(rate_plan, communication_plan) for iccid, rate_plan, communication_plan in rows}


def store_devices(connection: Connection, provider: ServiceProvider, devices: Sequence[DeviceReading]) -> int:
    """Add or bring up to date the provider's devices; how many rows are new or differ.

    What is not given (None) stays as it is. A device with an open change keeps its plan: that change decides what AMOP
    shows.
    """
    return connection.execute(
        text(
            """
            INSERT INTO m2m.device AS d (tenant_id, service_provider_id, iccid, msisdn, imsi, sim_status,
                rate_plan, communication_plan)
            SELECT :tenant, :provider, s.*
            FROM unnest(CAST(:iccid AS text[]), CAST(:msisdn AS text[]), CAST(:imsi AS text[]), CAST(:sim_status
                AS text[]), CAST(:rate_plan AS text[]), CAST(:communication_plan AS text[])) AS s(iccid, msisdn,
                imsi, sim_status, rate_plan, communication_plan)
            WHERE NOT EXISTS (SELECT 1 FROM m2m.device_change c WHERE c.service_provider_id = :provider AND
                c.iccid = s.iccid AND c.status = ANY(:open))
            ON CONFLICT (service_provider_id, iccid)
            DO UPDATE SET msisdn = coalesce(excluded.msisdn, d.msisdn), imsi = coalesce(excluded.imsi, d.imsi),
                sim_status = coalesce(excluded.sim_status, d.sim_status),
                rate_plan = coalesce(excluded.rate_plan, d.rate_plan),
                communication_plan = coalesce(excluded.communication_plan, d.communication_plan),
                updated_at = clock_timestamp()
            WHERE excluded.msisdn <> coalesce(d.msisdn, '') OR excluded.imsi <> coalesce(d.imsi, '')
                OR excluded.sim_status <> coalesce(d.sim_status, '')
                OR excluded.rate_plan <> coalesce(d.rate_plan, '')
                OR excluded.communication_plan <> coalesce(d.communication_plan, '')
            """
        ),
        {
            "tenant": provider.tenant_id,
            "provider": provider.id,
            "iccid": [device.iccid for device in devices],
            "msisdn": [device.msisdn for device in devices],
            "imsi": [device.imsi for device in devices],
            "sim_status": [device.sim_status for device in devices],
            "rate_plan": [device.rate_plan for device in devices],
            "communication_plan": [device.communication_plan for device in devices],
            "open": sorted(OPEN_DEVICES),
        },
    ).rowcount
