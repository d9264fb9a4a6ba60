"""Sends the pending devices of a batch, as fast as the account's budget allows and no faster.

A group of permits is reserved, the intent of just so many devices is committed, then their calls leave, each at its
reserved moment. What comes back is a move on the workbench; the next group does not wait for it.
"""

import asyncio
from collections.abc import Iterator

from m2m_pipeline.domain.change import DeviceWork
from m2m_pipeline.domain.outcome import ChangeOutcome, Refused, Unreachable
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.status import DeviceStatus
from m2m_pipeline.services.execution.outcomes import after_call, withdrawn
from m2m_pipeline.services.execution.workbench import Workbench

OUTAGE_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 15.0


async def send_pending(bench: Workbench) -> None:
    """Send every PENDING device once; on return each has an outcome, or the bulk change was stopped.

    Devices whose call surely had no effect are PENDING again and are sent in the next round, after a pause that grows
    while nothing gets through; beyond the run's patience the bulk change is stopped as CARRIER_UNREACHABLE.
    """
    silent_since: float | None = None
    pause = OUTAGE_PAUSE_SECONDS
    loop = asyncio.get_running_loop()
    while not bench.stopped and (pending := bench.in_status(DeviceStatus.PENDING)):
        sender = await _send_round(bench, pending)
        if sender.got_through:
            silent_since, pause = None, OUTAGE_PAUSE_SECONDS
            continue
        silent_since = silent_since or loop.time()
        if loop.time() - silent_since > bench.patience.outage:
            message = f"The carrier let no call through for more than {bench.patience.outage:.0f} s."
            await bench.give_up(sender.obstacle, message)
            return
        await asyncio.sleep(min(pause, bench.patience.outage / 4))
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


async def _send_round(bench: Workbench, pending: list[DeviceWork]) -> "_Sender":
    """Send each of `pending` once, or fewer when nothing gets through."""
    sender = _Sender(bench)
    pacer = bench.carrier.pacer
    async with asyncio.TaskGroup() as calls:
        left = iter(pending)
        while not (bench.stopped or sender.shut_out) and (group := await sender.next_group(left)):
            first_call_at = await pacer.reserve(len(group))
            for place, device in enumerate(await bench.mark_sending(group)):
                calls.create_task(sender.send(device, first_call_at + place * pacer.spacing))
    await bench.commit()
    return sender


class _Sender:
    """One round. `got_through`: a call was looked at. `shut_out`: the last in a row were not; `obstacle` says why."""

    SHUT_OUT_AFTER = 5

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._in_vain = 0
        self.got_through = False
        self.obstacle = ReasonCode.CARRIER_UNREACHABLE

    @property
    def shut_out(self) -> bool:
        return self._in_vain >= self.SHUT_OUT_AFTER

    async def next_group(self, left: Iterator[DeviceWork]) -> list[DeviceWork]:
        """The next devices, as many as calls may be in flight now (at least one), each with its slot taken."""
        pacer = self._bench.carrier.pacer
        group: list[DeviceWork] = []
        while len(group) < pacer.group and (not group or not pacer.slots.locked()):
            device = next(left, None)
            if device is None:
                break
            await pacer.slots.acquire()
            group.append(device)
        return group

    async def send(self, device: DeviceWork, moment: float) -> None:
        """One call at its moment, and the move that follows from it."""
        pacer = self._bench.carrier.pacer
        try:
            await pacer.wait_until(moment)
            if self._bench.stopped:
                self._bench.take(withdrawn(device))
                return
            outcome = await self._bench.carrier.change_plan(device.change)
        finally:
            pacer.slots.release()
        self._note(outcome)
        self._bench.take(after_call(device, outcome))
        if isinstance(outcome, Refused):
            await self._bench.stop(outcome)

    def _note(self, outcome: ChangeOutcome) -> None:
        if isinstance(outcome, Unreachable) or outcome.answer.http_status is None:
            self._in_vain += 1
            self.obstacle = outcome.reason if isinstance(outcome, Unreachable) else ReasonCode.CARRIER_UNREACHABLE
        else:
            self._in_vain = 0
            self.got_through = True
