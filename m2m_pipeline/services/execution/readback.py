"""Finds out what became of devices by asking the carrier: after an unknown outcome, and to confirm a claim."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from m2m_pipeline.domain.accounts import VerifyMode
from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.domain.change import DeviceWork
from m2m_pipeline.domain.outcome import LastAnswer, Refused, Scope, Unreachable
from m2m_pipeline.services.execution.outcomes import scheduled, with_old_plans
from m2m_pipeline.services.execution.pages import PAGES_WORTH_IT, confirm_by_pages
from m2m_pipeline.services.execution.workbench import Workbench


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
        devices = await confirm_by_pages(bench, devices, min(sent))
    await read_back(bench, devices, over=True)


async def peek(bench: Workbench, mode: VerifyMode, devices: Sequence[DeviceWork], since: datetime) -> None:
    """Confirm devices that show their new plan already, modified `since` a moment; the others stay as they are."""
    if mode is not VerifyMode.EACH and len(devices) >= PAGES_WORTH_IT:
        devices = await confirm_by_pages(bench, devices, since)
    readings = await asyncio.gather(*(bench.session.carrier.read_device(device.iccid) for device in devices))
    for device, reading in zip(devices, readings, strict=True):
        if isinstance(reading, DeviceReading) and reading.shows(device.rate_plan, device.communication_plan):
            bench.learn(device, reading, settled=False)
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
        claimed = await confirm_by_pages(bench, claimed, min(device.sent_at for device in claimed if device.sent_at))
    return await read_back(bench, claimed)


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
        if not bench.learn(seen, reading, settled=settled, over=over):
            slow.append(seen)

    await asyncio.gather(*map(read, devices))
    return slow, unread
