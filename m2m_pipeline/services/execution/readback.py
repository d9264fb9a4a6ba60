"""Finds out what became of devices by asking the carrier: after an unknown outcome, and to confirm a claim."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import dropwhile
from math import ceil

from m2m_pipeline.domain.accounts import VerifyMode
from m2m_pipeline.domain.carrier import DevicePage, DeviceReading
from m2m_pipeline.domain.change import DeviceWork
from m2m_pipeline.domain.outcome import LastAnswer, Refused, Scope, Unreachable
from m2m_pipeline.services.execution.outcomes import after_reading, scheduled, with_old_plans
from m2m_pipeline.services.execution.workbench import Workbench

NARROW, WIDE = timedelta(seconds=1), timedelta(minutes=5)
"""How far the carrier's clock may lag behind what its answers tell, as tried in turn: a short list first, since the
changes of everybody else on the account are in it too. What neither list shows is read alone."""

PAGES_WORTH_IT = 3
"""Below so many devices, reading each costs no more than listing."""

MOST_MORE = 2
"""Times the number of the next page are read at once at most: an estimate from few pages may be far off."""

WIDER_WORTH_IT = 0.1
"""A clock that lags hides the first changes of a batch, if not all. Few that are missing have another cause."""


async def read_back(bench: Workbench, devices: Sequence[DeviceWork], *, over: bool = False) -> Sequence[DeviceWork]:
    """Settle `devices` by reading each: now, and where the old plan still shows, once more after the settle time.

    The settle time begins when no call to them can be under way any more. Those of which the carrier could not be asked
    stay as they are, and are returned.

    `over`: their bulk change has ended; nothing is sent any more.
    """
    slow, unread = await _read_each(bench, devices, settled=False, over=over)
    if slow:
        await bench.commit()
        await asyncio.sleep(bench.abandoned.seconds_left(slow) + bench.session.patience.settle)
        _, unread_still = await _read_each(bench, slow, settled=True, over=over)
        unread = [*unread, *unread_still]
    await bench.commit()
    return unread


async def settle(bench: Workbench, mode: VerifyMode, devices: Sequence[DeviceWork]) -> None:
    """Learn what became of devices of an ended bulk change: those that the list confirms are not read alone."""
    await bench.abandoned.recall(devices)
    sent = [device.sent_at for device in devices if device.sent_at]
    if sent and mode is not VerifyMode.EACH and len(devices) >= PAGES_WORTH_IT:
        devices = await _confirm_by_pages(bench, devices, min(sent))
    await read_back(bench, devices, over=True)


async def peek(bench: Workbench, mode: VerifyMode, devices: Sequence[DeviceWork], since: datetime) -> None:
    """Confirm devices that show their new plan already, modified `since` a moment; the others stay as they are."""
    if mode is not VerifyMode.EACH and len(devices) >= PAGES_WORTH_IT:
        devices = await _confirm_by_pages(bench, devices, since)
    readings = await asyncio.gather(*(bench.session.carrier.read_device(device.iccid) for device in devices))
    for device, reading in zip(devices, readings, strict=True):
        if isinstance(reading, DeviceReading) and reading.shows(device.rate_plan, device.communication_plan):
            _decide(bench, device, reading, settled=False)
    await bench.commit()


async def confirm(bench: Workbench, mode: VerifyMode, applied: Sequence[DeviceWork]) -> Sequence[DeviceWork]:
    """Turn the carrier's claims into knowledge, in the provider's way; those that it could not be asked about."""
    for device in applied:
        if device.effective_date is not None:
            bench.take(scheduled(device))
    # A 202 is not even a claim: it is asked about in every mode.
    claimed = [
        device
        for device in applied
        if device.effective_date is None and (mode is not VerifyMode.NONE or device.last_answer is LastAnswer.ACCEPTED)
    ]
    if mode is VerifyMode.PAGES and len(claimed) >= PAGES_WORTH_IT:
        claimed = await _confirm_by_pages(bench, claimed, min(device.sent_at for device in claimed if device.sent_at))
    return await read_back(bench, claimed)


async def _confirm_by_pages(bench: Workbench, claimed: Sequence[DeviceWork], first_call: datetime) -> list[DeviceWork]:
    """Confirm what the device list since `first_call` shows on its new plan; the devices that must be read alone.

    A list page only ever confirms. A device that it shows otherwise may have moved between two pages: it is read.
    """
    left = {device.iccid: device for device in claimed}
    ahead = bench.session.carrier.clock_ahead  # read once: pages fit together only from the same moment on
    for since in (first_call + ahead - NARROW, first_call + min(ahead, timedelta(0)) - WIDE):
        await _confirm_since(bench, since, left)
        if len(left) < max(PAGES_WORTH_IT, WIDER_WORTH_IT * len(claimed)):
            break
    await bench.commit()
    return list(left.values())


async def _confirm_since(bench: Workbench, since: datetime, left: dict[str, DeviceWork]) -> None:
    """Take those of `left` that the list since a moment confirms, while a page costs less than reading them.

    As many pages are read at once as should show all of `left`: at first those that `left` would fill, then by how
    thinly the pages are sown with them, since changes of others on the account are in the list, too. The first page
    that shows any tells nothing of that: they may only begin at its end.
    """
    carrier = bench.session.carrier
    full = carrier.capabilities.page_size
    page, fruitless, wanted, sown = 1, 0, ceil(len(left) / full), list[int]()
    while fruitless < len(left):
        pages = range(page, page + min(max(wanted, fruitless // 2), len(left) - fruitless))
        shown, last = list[int](), False
        for answer in await asyncio.gather(*(carrier.list_devices(since, number) for number in pages)):
            if isinstance(answer, Refused | Unreachable):
                return
            shown.append(_take_shown(bench, answer, left))
            last = answer.last
        if last:
            return
        page = pages.stop
        fruitless = 0 if any(shown) else fruitless + len(pages)
        sown += shown if sown else dropwhile(lambda devices: not devices, shown)
        pages_each = len(sown[1:]) / sum(sown[1:]) if any(sown[1:]) else 1 / full
        wanted = min(ceil(len(left) * pages_each), MOST_MORE * page)


def _take_shown(bench: Workbench, page: DevicePage, left: dict[str, DeviceWork]) -> int:
    """Take those of `left` that a page shows on their new plan; how many these are."""
    before = len(left)
    for reading in page.devices:
        device = left.get(reading.iccid)
        if device and reading.shows(device.rate_plan, device.communication_plan):
            _decide(bench, left.pop(reading.iccid), reading, settled=False)
    return before - len(left)


async def _read_each(
    bench: Workbench, devices: Sequence[DeviceWork], *, settled: bool, over: bool
) -> tuple[Sequence[DeviceWork], Sequence[DeviceWork]]:
    """Read each device; those that may still be settling, and those of which the carrier could not be asked."""
    slow: list[DeviceWork] = []
    unread: list[DeviceWork] = []

    async def read(device: DeviceWork) -> None:
        reading = await bench.session.carrier.read_device(device.iccid)
        if isinstance(reading, Unreachable) or (isinstance(reading, Refused) and reading.scope is not Scope.DEVICE):
            unread.append(device)
            return
        seen = with_old_plans(device, reading)
        if not _decide(bench, seen, reading, settled=settled, over=over):
            slow.append(seen)

    await asyncio.gather(*map(read, devices))
    return slow, unread


def _decide(
    bench: Workbench, device: DeviceWork, reading: DeviceReading | Refused, *, settled: bool, over: bool = False
) -> bool:
    """Take the move that a reading leads to; False where the device must be read again."""
    away = device.sent_at is not None and bench.session.carrier.pacer.was_away_since(device.sent_at)
    step = after_reading(device, reading, settled=settled, over=over, away=away)
    if step is not None:
        bench.take(step)
    return step is not None
