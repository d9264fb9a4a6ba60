"""Where the inventory and the carrier's list differ: found by one join, looked at in small groups."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.domain.drift import AmopView
from m2m_pipeline.domain.passes import Pass
from m2m_pipeline.domain.status import OPEN_DEVICES


def a_neighbours(iccid: str) -> str:
    """Condition: another provider of the tenant has that ICCID, and this one (row `d`) has not.

    Such a device is not new: both may be of one carrier account.
    """
    return f"""
        (d.iccid IS NULL AND EXISTS (SELECT 1 FROM m2m.device o WHERE o.tenant_id = :tenant AND o.iccid = {iccid}))
    """


# What the carrier does not tell is no difference (as `domain.drift.differs`).
DIFFERS = """
    (l.is_gone OR d.iccid IS NULL OR coalesce(l.rate_plan <> coalesce(d.rate_plan, ''), false)
        OR coalesce(l.communication_plan <> coalesce(d.communication_plan, ''), false))
"""
_BOTH = """
    m2m.carrier_listing l
    LEFT JOIN m2m.device d ON d.service_provider_id = :provider AND d.iccid = l.iccid
"""
# A change that nobody has started (NEW) explains nothing: whether it is ever sent, a person decides.
_HOLDS = """
    o.service_provider_id = :provider AND o.status = ANY(:open)
    AND EXISTS (SELECT 1 FROM m2m.bulk_change b WHERE b.id = o.bulk_change_id AND b.status <> 'NEW')
"""
_CANDIDATES = f"""
    SELECT l.iccid, l.rate_plan, l.communication_plan, false AS missing FROM {_BOTH}
    WHERE l.pass_id = :pass AND l.checked_at IS NULL AND {DIFFERS} AND NOT {a_neighbours("l.iccid")}
    UNION ALL
    SELECT d.iccid, NULL, NULL, true FROM m2m.device d
    WHERE :full AND d.service_provider_id = :provider AND NOT EXISTS (
        SELECT 1 FROM m2m.carrier_listing l WHERE l.pass_id = :pass AND l.iccid = d.iccid)
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A device on which list and inventory differ, or (`missing`) that only the inventory has."""

    iccid: str
    listed: DeviceReading
    missing: bool
    held: bool  # by a bulk change that was started: then there is no need to ask


def next_candidates(
    connection: Connection, work: Pass, limit: int, without: Collection[str]
) -> tuple[datetime, Sequence[Candidate]]:
    """The next devices to be looked at `without` some, and the database's moment before anybody asks about them.

    Those of which no record is kept yet come first, then in an order of each pass's own: where not all can be asked
    about in one pass, none is left out for ever.
    """
    now: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    rows = connection.execute(
        text(
            f"""
            SELECT c.*, o.iccid IS NOT NULL AS held FROM ({_CANDIDATES}) c
            LEFT JOIN m2m.device_change o ON o.iccid = c.iccid AND {_HOLDS}
            LEFT JOIN m2m.drift r ON r.service_provider_id = :provider AND r.iccid = c.iccid AND r.resolved_at IS NULL
            WHERE NOT c.iccid = ANY(:without)
            ORDER BY r.iccid IS NOT NULL, md5(c.iccid || :pass) LIMIT :limit
            """
        ),
        {**_of(work), "limit": limit, "without": list(without)},
    )
    return now, [
        Candidate(row.iccid, DeviceReading(row.iccid, row.rate_plan, row.communication_plan), row.missing, row.held)
        for row in rows
    ]


def count_candidates(connection: Connection, work: Pass) -> int:
    """How many devices are still to be looked at."""
    return connection.execute(text(f"SELECT count(*) FROM ({_CANDIDATES}) c"), _of(work)).scalar_one()


def keep_checked(
    connection: Connection, work: Pass, readings: Mapping[str, DeviceReading | None], asked_at: datetime
) -> None:
    """Put what was read of single devices in the place of what the list showed; None: no such device there."""
    read = {iccid: reading or DeviceReading(iccid, None, None) for iccid, reading in readings.items()}
    connection.execute(
        text(
            """
            INSERT INTO m2m.carrier_listing (pass_id, iccid, rate_plan, communication_plan, is_gone, checked_at)
            SELECT :pass, s.*, :asked_at FROM unnest(CAST(:iccid AS text[]), CAST(:rate_plan AS text[]),
                CAST(:communication_plan AS text[]), CAST(:is_gone AS boolean[])) AS s
            ON CONFLICT (pass_id, iccid) DO UPDATE SET rate_plan = excluded.rate_plan,
                communication_plan = excluded.communication_plan, is_gone = excluded.is_gone,
                checked_at = excluded.checked_at
            """
        ),
        {
            "pass": work.id,
            "asked_at": asked_at,
            "iccid": list(read),
            "rate_plan": [one.rate_plan for one in read.values()],
            "communication_plan": [one.communication_plan for one in read.values()],
            "is_gone": [readings[iccid] is None for iccid in read],
        },
    )


def known_plans(connection: Connection, work: Pass) -> frozenset[str]:
    """The rate plans that AMOP has for the provider."""
    plans = connection.execute(
        text("SELECT name FROM m2m.carrier_rate_plan WHERE service_provider_id = :provider AND retired_at IS NULL"),
        {"provider": work.service_provider_id},
    ).scalars()
    return frozenset(plans)


def amop_views(connection: Connection, work: Pass, iccids: Sequence[str], asked_at: datetime) -> Sequence[AmopView]:
    """What AMOP knows of devices now; steady where it has known it since `asked_at`."""
    rows = connection.execute(
        text(
            f"""
            SELECT i.iccid, d.iccid IS NOT NULL AS known, d.rate_plan, d.communication_plan, o.id IS NOT NULL AS held,
                coalesce(o.status = 'UNCONFIRMED' AND o.reason = 'SCHEDULED', false) AS scheduled,
                coalesce(d.updated_at < :asked_at, true) AS steady
            FROM unnest(CAST(:iccids AS text[])) AS i(iccid)
            LEFT JOIN m2m.device d ON d.service_provider_id = :provider AND d.iccid = i.iccid
            LEFT JOIN m2m.device_change o ON o.iccid = i.iccid AND {_HOLDS}
            """
        ),
        {**_of(work), "iccids": list(iccids), "asked_at": asked_at},
    )
    return [
        AmopView(row.iccid, row.known, row.rate_plan, row.communication_plan, row.held, row.scheduled, row.steady)
        for row in rows
    ]


def _of(work: Pass) -> dict[str, object]:
    return {
        "pass": work.id,
        "tenant": work.tenant_id,
        "provider": work.service_provider_id,
        "full": work.full,
        "open": sorted(OPEN_DEVICES),
    }
