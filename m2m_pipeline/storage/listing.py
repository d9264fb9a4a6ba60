"""The carrier's list as a pass has read it so far."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.domain.passes import Pass


def keep_listed(connection: Connection, work: Pass, devices: Sequence[DeviceReading]) -> None:
    """Keep what a page shows; what is read later replaces what was read before."""
    connection.execute(
        text(
            """
            INSERT INTO m2m.carrier_listing AS l (pass_id, iccid, rate_plan, communication_plan)
            SELECT DISTINCT ON (s.iccid) CAST(:id AS bigint), s.iccid, s.rate_plan, s.communication_plan
            FROM unnest(CAST(:iccid AS text[]), CAST(:rate_plan AS text[]), CAST(:communication_plan AS text[]))
                AS s(iccid, rate_plan, communication_plan)
            ON CONFLICT (pass_id, iccid) DO UPDATE SET rate_plan = excluded.rate_plan,
                communication_plan = excluded.communication_plan
            """
        ),
        {
            "id": work.id,
            "iccid": [device.iccid for device in devices],
            "rate_plan": [device.rate_plan for device in devices],
            "communication_plan": [device.communication_plan for device in devices],
        },
    )


def count_listed(connection: Connection, work: Pass) -> tuple[int, int]:
    """How many devices AMOP has for the provider, and how many of them the list has not shown."""
    row = connection.execute(
        text(
            """
            SELECT count(*) AS known, count(*) FILTER (WHERE l.iccid IS NULL) AS missing
            FROM m2m.device d LEFT JOIN m2m.carrier_listing l ON l.pass_id = :id AND l.iccid = d.iccid
            WHERE d.service_provider_id = :provider
            """
        ),
        {"id": work.id, "provider": work.service_provider_id},
    ).one()
    return row.known, row.missing
