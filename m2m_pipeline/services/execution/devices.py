"""Brings the devices of a batch to an end at the carrier."""

import asyncio

from m2m_pipeline.domain.accounts import VerifyMode
from m2m_pipeline.domain.change import DeviceWork
from m2m_pipeline.domain.outcome import Refused, Unreachable
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.status import DeviceStatus
from m2m_pipeline.services.execution.outcomes import unknown
from m2m_pipeline.services.execution.readback import confirm, read_back
from m2m_pipeline.services.execution.sending import send_pending
from m2m_pipeline.services.execution.workbench import Workbench

FRUITLESS_ROUNDS = 3
"""Devices that cannot be read so often, from a carrier that is there, are left to reconciliation."""


async def change_devices(bench: Workbench, verify: VerifyMode) -> None:
    """Drive every device of the workbench as far as the carrier lets it come.

    Afterwards each is APPLIED (confirmed, unless `verify` is NONE), REFUSED, or UNCONFIRMED; PENDING only where the
    bulk change was stopped.
    """
    async with bench.committing():
        await _resume(bench)
        await _send_and_read_back(bench)
        bench.all_sent.set()
        await _confirm(bench, verify)


async def _send_and_read_back(bench: Workbench) -> None:
    """Send and read back in turn, until no outcome is unknown or those that are cannot be learned now."""
    await read_back(bench, [one for one in _readable(bench) if bench.session.stopped or not _is_under_way(bench, one)])
    fruitless = 0
    while not bench.session.stopped and fruitless < FRUITLESS_ROUNDS:
        await send_pending(bench)
        unknown_before = _readable(bench)
        if not unknown_before:
            return
        await read_back(bench, unknown_before)
        fruitless = fruitless + 1 if _readable(bench) == unknown_before else 0
        if fruitless:
            await _carrier_is_there(bench)


def _readable(bench: Workbench) -> list[DeviceWork]:
    """The devices of which a reading tells something: a change for a day to come cannot be seen before."""
    return [device for device in bench.in_status(DeviceStatus.UNCONFIRMED) if device.effective_date is None]


def _is_under_way(bench: Workbench, device: DeviceWork) -> bool:
    """Whether the carrier may be at an abandoned call to the device still: the others are sent meanwhile."""
    return bench.abandoned.seconds_left([device]) > 0


async def _confirm(bench: Workbench, verify: VerifyMode) -> None:
    """Confirm the carrier's claims. They stay claims while it is away; in the end they are left to reconciliation."""
    unread = await confirm(bench, verify, bench.in_status(DeviceStatus.APPLIED))
    fruitless = 0
    while unread and fruitless < FRUITLESS_ROUNDS and await _carrier_is_there(bench):
        before, unread = unread, await confirm(bench, verify, unread)
        fruitless = fruitless + 1 if len(unread) == len(before) else 0
    for device in unread:
        bench.take(unknown(device, "The carrier could not be asked whether it has made the change."))


async def _carrier_is_there(bench: Workbench) -> bool:
    """Wait for a carrier that is out of reach; whether the bulk change goes on.

    It is stopped where the carrier stays away beyond the run's patience, or does not let us in any more.
    """
    loop = asyncio.get_running_loop()
    session, patience = bench.session, bench.session.patience.outage
    give_up_at = loop.time() + patience
    while not session.stopped:
        access = await session.carrier.check_access()
        if isinstance(access, Refused):
            await session.stop(access)
        if not isinstance(access, Unreachable):
            break
        if loop.time() >= give_up_at:
            message = f"The carrier was out of reach for more than {patience:.0f} s."
            await session.give_up(ReasonCode.CARRIER_UNREACHABLE, message)
    return not session.stopped


async def _resume(bench: Workbench) -> None:
    """What an earlier attempt left in SENDING may have reached the carrier, or reach it yet."""
    await bench.abandoned.recall([*bench.in_status(DeviceStatus.SENDING), *bench.in_status(DeviceStatus.UNCONFIRMED)])
    for device in bench.in_status(DeviceStatus.SENDING):
        bench.take(unknown(device, "The attempt that sent this change ended before it had an answer."))
    await bench.commit()
