"""Reads alone each device that differs in the list: only what two looks agree on is called drift.

AMOP is looked at again in the transaction that keeps the reading: where its row was written since the carrier was
asked, nothing is concluded, and where a bulk change holds the device, that is the cause.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.domain.drift import cause
from m2m_pipeline.domain.outcome import Refused
from m2m_pipeline.domain.passes import Pass
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.services.drift.desk import Desk
from m2m_pipeline.storage import differences, drift, listing
from m2m_pipeline.storage.differences import Candidate

TOGETHER = 50
"""Devices in one commit: what is read again after a crash."""

LEAST_CHECKS, SHARE_OF_CHECKS = 500, 0.05
"""How many devices one pass reads alone: at least so many, and so much of the inventory. The rest has to wait."""


async def check(desk: Desk) -> None:
    """Read the devices that differ, as many as one pass may, and keep what is found.

    Of one that the carrier refuses to show nothing is kept or concluded: it stays unchecked.

    Raises:
        CarrierCallFailedError: the carrier cannot be asked. What was found before is kept.

    """
    known, _ = await desk.look(listing.count_listed)
    most = max(LEAST_CHECKS, int(known * SHARE_OF_CHECKS))
    unreadable: set[str] = set()
    while (room := most - desk.work.checked) > 0:
        ask = partial(differences.next_candidates, limit=min(TOGETHER, room), without=unreadable)
        asked_at, candidates = await desk.look(ask)
        if not candidates:
            return
        asked = [one for one in candidates if one.missing or not one.held]
        read = {one.iccid: await _ask(desk, one) for one in asked}
        judged = {iccid: reading for iccid, reading in read.items() if not isinstance(reading, Refused)}
        judged |= {one.iccid: one.listed for one in candidates if one.iccid not in read}
        unreadable |= read.keys() - judged.keys()
        keep = partial(_keep, judged=judged, asked_at=asked_at)
        await desk.commit(desk.work, keep, checked=len(asked))


async def _ask(desk: Desk, candidate: Candidate) -> DeviceReading | Refused | None:
    """What the carrier shows; None where it has no such device, Refused where it does not say."""
    answer = await desk.device(candidate.iccid)
    if isinstance(answer, Refused) and answer.reason is ReasonCode.CARRIER_DEVICE_UNKNOWN:
        return None
    return answer


def _keep(
    connection: Connection,
    work: Pass,
    *,
    judged: Mapping[str, DeviceReading | None],
    asked_at: datetime,
) -> None:
    differences.keep_checked(connection, work, judged, asked_at)
    plans = differences.known_plans(connection, work)
    found = []
    for amop in differences.amop_views(connection, work, list(judged), asked_at):
        reading = judged[amop.iccid]
        why = cause(amop, reading, plan_known=reading is not None and reading.rate_plan in plans)
        if why:
            found.append((why, amop, reading))
    drift.record(connection, work, found)
