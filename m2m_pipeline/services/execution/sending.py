"""Sends the pending devices of a batch, as fast as the account's budget allows and no faster.

A group of permits is taken, the intent of just so many devices is committed, then their calls leave, each at its
permit's moment. What comes back is a move on the workbench. The next group waits for none of this.
"""

import asyncio
from collections.abc import Sequence
from itertools import repeat

from m2m_pipeline.domain.change import DeviceWork
from m2m_pipeline.domain.outcome import Answer, Applied, ChangeOutcome, Refused, Unconfirmed, Unreachable
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.status import DeviceStatus
from m2m_pipeline.services.departing import WithdrawnError
from m2m_pipeline.services.execution.abandoned import LEAVES_WITHIN_SECONDS
from m2m_pipeline.services.execution.outcomes import after_call, withdrawn
from m2m_pipeline.services.execution.workbench import Workbench
from m2m_pipeline.services.gatekeeper import Permit, is_abandoned


async def send_pending(bench: Workbench) -> None:
    """Send every PENDING device once; on return each has an outcome, or the bulk change was stopped.

    Devices whose call surely had no effect are PENDING again and are sent in the next round. Where no change gets
    through for longer than the run's patience, the bulk change is stopped with the obstacle as its reason.
    """
    sender = _Sender(bench)
    while not bench.session.stopped and (pending := bench.in_status(DeviceStatus.PENDING)):
        await sender.send_round(pending)
        await bench.commit()


class _Sender:
    """Remembers since when no change of the run gets through, and what stands in the way."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._session = bench.session
        self._pacer = bench.session.carrier.pacer
        self._clock = asyncio.get_running_loop().time
        self._obstacle = ReasonCode.CARRIER_UNREACHABLE

    async def send_round(self, pending: list[DeviceWork]) -> None:
        """Send each of `pending` once; fewer where the account's breaker opens."""
        left = pending[::-1]
        try:
            async with asyncio.TaskGroup() as calls:
                while left and not self._session.stopped and (permits := await self._permits(len(left))):
                    self._bench.at_rest.clear()
                    calls.create_task(self._send_group([left.pop() for _ in permits], permits))
                if not left:
                    self._bench.all_sent.set()
        finally:
            self._bench.at_rest.set()
        if left and not self._session.stopped:
            await self._tried_in_vain()
            await self._ask_whether_it_is_back()

    async def _permits(self, calls: int) -> Sequence[Permit]:
        """Permits for calls, once the lease outlasts one."""
        if not self._lease_outlasts_a_call():
            await self._session.lease.until_it_outlasts(self._session.carrier.call_seconds)
        return await self._pacer.permits(calls)

    def _lease_outlasts_a_call(self) -> bool:
        """Whether a call may leave. While our own lease keeps us from calling, the carrier is not to blame."""
        outlasts = self._session.lease.outlasts(self._session.carrier.call_seconds)
        if not outlasts:
            self._session.in_vain_since = None
        return outlasts

    async def _tried_in_vain(self) -> None:
        """Note that a change did not get through; stop the bulk change where none has for longer than its patience."""
        if self._session.in_vain_since is None:
            self._session.in_vain_since = self._clock()
        patience = self._session.patience.outage
        if self._clock() - self._session.in_vain_since > patience:
            message = f"The carrier let no change through for more than {patience:.0f} s."
            await self._session.give_up(self._obstacle, message)

    async def _ask_whether_it_is_back(self) -> None:
        """While the breaker is open, a cheap call in so many seconds is all that is allowed: make it."""
        access = await self._session.carrier.check_access()
        if isinstance(access, Refused):
            await self._session.stop(access)

    async def _send_group(self, group: list[DeviceWork], permits: Sequence[Permit]) -> None:
        """Announce the calls of a group, then make them, while the next group is being permitted."""
        leaves_by = self._clock() + LEAVES_WITHIN_SECONDS
        announced = [] if self._session.stopped else await self._bench.mark_sending(group)
        for unused in permits[len(announced) :]:
            self._pacer.give_back(unused)
        await asyncio.gather(*map(self._send, announced, permits, repeat(leaves_by)))

    async def _send(self, device: DeviceWork, permit: Permit, leaves_by: float) -> None:
        """One call at its moment, and the move that follows from it."""
        try:
            outcome = await self._call(device, permit, leaves_by)
        except WithdrawnError:
            self._bench.take(withdrawn(device))
            return
        self._bench.note_answered(device)
        self._bench.take(after_call(device, outcome))
        if isinstance(outcome, Applied | Refused):  # nothing else is the carrier's own word on a change
            self._session.in_vain_since = None
        else:
            self._obstacle = outcome.reason if isinstance(outcome, Unreachable) else ReasonCode.CARRIER_UNREACHABLE
            await self._tried_in_vain()
        if isinstance(outcome, Refused):
            await self._session.stop(outcome)

    async def _call(self, device: DeviceWork, permit: Permit, leaves_by: float) -> ChangeOutcome:
        """The call, cut where it would outlive a short lease: then another attempt may be reading the device back."""
        left_at = self._clock()

        def may_leave() -> bool:
            nonlocal left_at
            left_at = self._clock()
            if left_at > leaves_by or self._session.stopped or not self._lease_outlasts_a_call():
                return False
            cut.reschedule(left_at + self._session.lease.left)
            return True

        try:
            async with asyncio.timeout(None) as cut:
                outcome = await self._session.carrier.change_plan(device.change, permit, may_leave)
        except TimeoutError:
            message = "No answer came while this attempt surely held its lease."
            outcome = Unconfirmed(Answer(message=message), abandoned=True)
        if is_abandoned(outcome):
            self._bench.abandoned.note(device, left_at)
        return outcome
