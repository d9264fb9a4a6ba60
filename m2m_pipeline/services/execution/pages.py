"""Confirms claims by the carrier's device list, whose pages show the changes of everybody on the account.

A page only ever confirms. A device that it shows otherwise may have moved between two pages: it is read alone.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import dropwhile
from math import ceil

from m2m_pipeline.domain.carrier import DevicePage
from m2m_pipeline.domain.change import DeviceWork
from m2m_pipeline.domain.outcome import Refused, Unreachable
from m2m_pipeline.services.execution.sightings import Sightings
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


async def confirm_by_pages(bench: Workbench, claimed: Sequence[DeviceWork], first_call: datetime) -> list[DeviceWork]:
    """Confirm what the device list since `first_call` shows on its new plan; the devices that must be read alone.

    What others' pages have shown of them is taken first, and the list begins where that ends.
    """
    left = {device.iccid: device for device in claimed}
    ahead = bench.session.carrier.clock_ahead  # read once: pages fit together only from the same moment on
    async with Sightings(bench, left) as sightings:
        first_call = max(first_call, min((one.sent_at for one in left.values() if one.sent_at), default=first_call))
        for since in (first_call + ahead - NARROW, first_call + min(ahead, timedelta(0)) - WIDE):
            await _confirm_since(bench, sightings, since, left)
            if len(left) < max(PAGES_WORTH_IT, WIDER_WORTH_IT * len(claimed)):
                break
    await bench.commit()
    return list(left.values())


async def _confirm_since(bench: Workbench, sightings: Sightings, since: datetime, left: dict[str, DeviceWork]) -> None:
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
        answers = await asyncio.gather(*(carrier.list_devices(since, number) for number in pages))
        read = [answer for answer in answers if isinstance(answer, DevicePage)]
        shown = [await _take_shown(bench, answer, left) for answer in read]
        await sightings.note(read)
        if not left or any(isinstance(answer, Refused | Unreachable) or answer.last for answer in answers):
            return
        await sightings.take_turn()
        page = pages.stop
        fruitless = 0 if any(shown) else fruitless + len(pages)
        sown += shown if sown else dropwhile(lambda devices: not devices, shown)
        pages_each = len(sown[1:]) / sum(sown[1:]) if any(sown[1:]) else 1 / full
        wanted = min(ceil(len(left) * pages_each), MOST_MORE * page)


async def _take_shown(bench: Workbench, page: DevicePage, left: dict[str, DeviceWork]) -> int:
    """Take those of `left` that a page shows on their new plan; how many these are."""
    await asyncio.sleep(0)  # calls that are due go first: many pages at once make them late
    before = len(left)
    for reading in page.devices:
        device = left.get(reading.iccid)
        if device and reading.shows(device.rate_plan, device.communication_plan):
            bench.learn(left.pop(reading.iccid), reading, settled=False)
    return before - len(left)
