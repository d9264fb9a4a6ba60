"""Brings the devices of a batch to an end at the carrier."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from m2m_pipeline.domain.accounts import VerifyMode
from m2m_pipeline.domain.status import DeviceStatus
from m2m_pipeline.services.execution.outcomes import unknown
from m2m_pipeline.services.execution.readback import confirm, read_back
from m2m_pipeline.services.execution.sending import send_pending
from m2m_pipeline.services.execution.workbench import Workbench, keep_lease

ROUNDS = 4
"""Send, read back and send again at most so often; a device's attempts run out before."""


async def change_devices(bench: Workbench, verify: VerifyMode, lease_seconds: float) -> None:
    """Drive every device of the workbench as far as the carrier lets it come.

    Afterwards each is APPLIED (confirmed, unless `verify` is NONE), REFUSED, or UNCONFIRMED; PENDING only where the
    bulk change was stopped.
    """
    async with _kept(bench, lease_seconds):
        await _resume(bench)
        for _ in range(ROUNDS):
            await read_back(bench, bench.in_status(DeviceStatus.UNCONFIRMED))
            await send_pending(bench)
            if bench.stopped or not bench.in_status(DeviceStatus.UNCONFIRMED):
                break
        await read_back(bench, bench.in_status(DeviceStatus.UNCONFIRMED))
        await confirm(bench, verify, bench.in_status(DeviceStatus.APPLIED))


async def _resume(bench: Workbench) -> None:
    """What an earlier attempt left in SENDING may have reached the carrier."""
    for device in bench.in_status(DeviceStatus.SENDING):
        bench.take(unknown(device, "The attempt that sent this change ended before it had an answer."))
    await bench.commit()


@asynccontextmanager
async def _kept(bench: Workbench, lease_seconds: float) -> AsyncGenerator[None]:
    """Keep the lease and commit regularly while the body works; commit what is known, whatever ends the body."""
    async with asyncio.TaskGroup() as background:
        keeper = background.create_task(keep_lease(bench.database, bench.attempt, lease_seconds))
        committer = background.create_task(bench.commit_regularly())
        try:
            yield
        finally:
            committer.cancel()
            keeper.cancel()
            await asyncio.shield(bench.commit())
