"""Reads the carrier's list of a whole account while others change its devices.

The list is ordered by modification, oldest first: a device that is modified moves to the end, and all behind its old
place move up by one. Whoever reads from the first page on misses, at each border of two pages, a device that never
changed. So it is read from the last page to the first: what moves up is met again, never missed, and what moved to the
end was modified since the reading began, which a short second list (the tail) shows. The place is kept in the pass, so
that a reading can go on after any interruption: the longer it was, the longer the tail.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from math import ceil

from sqlalchemy import Connection

from m2m_pipeline.domain.carrier import DevicePage, DeviceReading
from m2m_pipeline.domain.outcome import Refused
from m2m_pipeline.domain.passes import Pass, PassPhase
from m2m_pipeline.services.accounts import FULL_LISTING, CarrierCallFailedError
from m2m_pipeline.services.drift.desk import Desk
from m2m_pipeline.services.execution.pages import NARROW, WIDE
from m2m_pipeline.storage import listing

EVER = datetime(2000, 1, 1, tzinfo=UTC)
"""Most sources know no limit to `modifiedSince`; where the carrier refuses it, a year is what can be asked for."""

MOST_SWEEPS = 3
"""A carrier whose pages do not fit together is listed so often, while that costs less than reading what is missing."""

FEW_MISSING = 20
"""So many devices are read alone in any case."""


async def begin(desk: Desk, watermark: datetime | None) -> None:
    """Sign in, and fix from when on the list is read. The sign-in tells the carrier's clock."""
    failure = await desk.carrier.check_access()
    if failure is not None:
        raise CarrierCallFailedError(failure)
    begun_at = datetime.now(UTC) + desk.carrier.clock_ahead
    since = EVER if watermark is None else watermark - WIDE
    await desk.commit(replace(desk.work, begun_at=begun_at, since=since))


async def read_list(desk: Desk) -> None:
    """Bring the pass from wherever it is in LISTING or TAIL to CHECKING.

    Raises:
        CarrierCallFailedError: a page could not be read. Nothing is concluded from those that were.

    """
    while desk.work.phase is not PassPhase.CHECKING:
        if desk.work.phase is PassPhase.LISTING:
            await _read_main(desk)
            following = PassPhase.TAIL if desk.work.full else PassPhase.CHECKING
            await desk.commit(replace(desk.work, phase=following, page=None, sweeps=desk.work.sweeps + 1))
        else:
            assert desk.work.begun_at is not None
            await _sweep(desk, desk.work.begun_at - NARROW, expected=1)
            again = await _is_worth_another(desk)
            following = PassPhase.LISTING if again else PassPhase.CHECKING
            await desk.commit(replace(desk.work, phase=following, page=None))


async def _read_main(desk: Desk) -> None:
    known, _ = await desk.look(listing.count_listed)
    expected = ceil(known / desk.carrier.capabilities.page_size) if desk.work.full else 1
    assert desk.work.since is not None
    try:
        await _sweep(desk, desk.work.since, expected)
    except CarrierCallFailedError as error:
        if not isinstance(error.failure, Refused) or desk.work.since != EVER:
            raise
        since = datetime.now(UTC) + desk.carrier.clock_ahead - FULL_LISTING + timedelta(hours=1)
        await desk.commit(replace(desk.work, since=since, page=None))
        await _sweep(desk, since, expected)


async def _is_worth_another(desk: Desk) -> bool:
    """Whether so many devices are missing that listing again costs less than reading them."""
    known, missing = await desk.look(listing.count_listed)
    worth = max(FEW_MISSING, ceil(known / desk.carrier.capabilities.page_size))
    return missing > worth and desk.work.sweeps < MOST_SWEEPS


async def _sweep(desk: Desk, since: datetime, expected: int) -> None:
    """Read the list since a moment from its last page, which is `expected` to be that one, to its first."""
    if desk.work.page is None:
        await _find_end(desk, since, max(1, expected))
    while desk.work.page:
        listed = await desk.page(since, desk.work.page)
        await _keep(desk, listed, desk.work.page - 1)


async def _find_end(desk: Desk, since: datetime, page: int) -> None:
    """Find the last page: in growing steps upwards, then by halves. The carrier tells no total."""
    below, beyond, step = 0, None, 1
    while True:
        listed = await desk.page(since, page)
        if listed and listed.last and (listed.devices or page == 1):
            return await _keep(desk, listed, page - 1)
        if listed and not listed.last:
            below = page
        else:
            beyond = page
        if beyond is not None and beyond - below <= 1:  # the end has moved under our eyes
            return await _keep(desk, listed, below)
        await _keep(desk, listed, None)
        page, step = (below + step, step * 2) if beyond is None else ((below + beyond) // 2, step)


async def _keep(desk: Desk, listed: DevicePage | None, following: int | None) -> None:
    devices = listed.devices if listed else ()
    await desk.commit(replace(desk.work, page=following), partial(_store, devices=devices))


def _store(connection: Connection, work: Pass, *, devices: Sequence[DeviceReading]) -> None:
    if devices:
        listing.keep_listed(connection, work, devices)
