"""Refused devices that get another chance: set-based, guarded by the index of open devices."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from m2m_pipeline.domain.reasons import REASONS, ROW_FAULTS, ReasonCode
from m2m_pipeline.domain.status import OPEN_DEVICES, SETTLED_DEVICES, DeviceStatus, device_sources

# Only a refusal is taken back, and none that lies in the row itself.
_REFUSED = "c.bulk_change_id = :id AND c.status = ANY(:sources) AND c.reason <> ALL(:faults)"
_OTHERS = "o.service_provider_id = c.service_provider_id AND o.iccid = c.iccid AND o.status = ANY(:open)"
_LISTS = {
    "sources": sorted(device_sources(DeviceStatus.PENDING) & SETTLED_DEVICES),
    "faults": sorted(ROW_FAULTS),
    "open": sorted(OPEN_DEVICES),
}


@dataclass(frozen=True, slots=True)
class TakenBack:
    """What became of refused devices. `held`: another bulk change has them now; they stay refused, and say that."""

    pending: int
    held: int


def take_back(connection: Connection, bulk_change_id: int) -> TakenBack:
    """Make refused devices PENDING again, as if never tried. `sent_at` stays: it says what has left once.

    Both in one statement: what another bulk change takes meanwhile would be neither free for the one nor held for the
    other of two.
    """
    taken_back = connection.execute(
        text(
            f"""
            WITH held AS (
                UPDATE m2m.device_change c
                SET reason = :reason, message = :title || ': bulk change ' || o.bulk_change_id || '.',
                    retry = c.retry + 1, http_status = NULL, carrier_code = NULL, last_answer = NULL,
                    ended_at = clock_timestamp()
                FROM m2m.device_change o WHERE {_REFUSED} AND {_OTHERS} RETURNING c.id
            ), pending AS (
                UPDATE m2m.device_change c
                SET status = 'PENDING', retry = c.retry + 1, attempts = 0, batch = NULL, reason = NULL, message = NULL,
                    http_status = NULL, carrier_code = NULL, last_answer = NULL, verified_at = NULL, ended_at = NULL
                WHERE {_REFUSED} AND NOT EXISTS (SELECT 1 FROM m2m.device_change o WHERE {_OTHERS}) RETURNING c.id
            )
            SELECT (SELECT count(*) FROM pending) AS pending, (SELECT count(*) FROM held) AS held
            """
        ),
        {
            **_LISTS,
            "id": bulk_change_id,
            "reason": ReasonCode.OPEN_CHANGE.value,
            "title": f"Not sent: {REASONS[ReasonCode.OPEN_CHANGE].title}",
        },
    ).one()
    return TakenBack(taken_back.pending, taken_back.held)
