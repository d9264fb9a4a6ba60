"""The devices of one batch while they are worked on: what memory knows, and the one way by which it is committed."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus

from m2m_pipeline.domain.attempt import Attempt, LeaseLostError
from m2m_pipeline.domain.change import DeviceWork, Step
from m2m_pipeline.domain.outcome import Refused, Scope
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.status import DeviceStatus
from m2m_pipeline.services.paced import PacedCarrier
from m2m_pipeline.storage import audit, bulk_changes, device_changes, leases
from m2m_pipeline.storage.database import Database, retrying_transient

FLUSH_ROWS = 200
FLUSH_SECONDS = 1.0
"""Outcomes are committed in groups: a crash makes at most these devices uncertain, and a commit costs like one row."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a run waits (seconds)."""

    settle: float  # after an accepted change, until the carrier must show it
    outage: float  # for a carrier that is out of reach, before the run gives up on it


@dataclass
class Workbench:
    """One batch in work. Devices are changed here only by `commit`, so that memory never runs ahead of the database."""

    database: Database
    attempt: Attempt
    carrier: PacedCarrier
    patience: Patience
    devices: dict[int, DeviceWork]
    stopped: bool = False
    _buffer: list[Step] = field(default_factory=list[Step])
    _counted_calls: int = 0
    _full: asyncio.Event = field(default_factory=asyncio.Event)
    _committing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def in_status(self, status: DeviceStatus) -> list[DeviceWork]:
        """The batch's devices that are in `status` now, in row order."""
        return [device for device in self.devices.values() if device.status is status]

    async def mark_sending(self, devices: Sequence[DeviceWork]) -> list[DeviceWork]:
        """Commit the intent to call for `devices`; the devices as they are now."""
        await asyncio.to_thread(self._mark_sending, [device.id for device in devices])
        moment = datetime.now(UTC)
        now = [replace(d, status=DeviceStatus.SENDING, attempts=d.attempts + 1, sent_at=moment) for d in devices]
        self.devices.update({device.id: device for device in now})
        return now

    def take(self, step: Step) -> None:
        """Put a decided move into the next commit."""
        self._buffer.append(step)
        if len(self._buffer) >= FLUSH_ROWS:
            self._full.set()

    async def commit(self) -> None:
        """Commit the moves that were taken so far, with their audit entries, in one transaction.

        Where the database refuses, the moves are kept: what is known is not forgotten while the process lives.
        """
        async with self._committing:
            steps, self._buffer = self._buffer, []
            self._full.clear()
            calls = self.carrier.pacer.calls - self._counted_calls
            try:
                if steps or calls:
                    await asyncio.to_thread(self._commit, steps, calls)
            except BaseException:
                self._buffer = [*steps, *self._buffer]
                raise
            self._counted_calls += calls
            self._remember(steps)

    def _remember(self, steps: Sequence[Step]) -> None:
        for step in steps:
            device = self.devices[step.device_change_id]
            if step.verified or step.status not in _IN_WORK:
                del self.devices[step.device_change_id]
            else:
                accepted = step.http_status == HTTPStatus.ACCEPTED
                self.devices[device.id] = replace(
                    device, status=step.status, attempts=step.attempts, only_accepted=accepted
                )

    async def commit_regularly(self) -> None:
        """Commit every `FLUSH_SECONDS`, or when `FLUSH_ROWS` moves wait. Runs until it is cancelled."""
        while True:
            try:
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._full.wait()
            except TimeoutError:
                pass
            await asyncio.shield(self.commit())

    async def stop(self, refusal: Refused) -> None:
        """Send nothing more in this bulk change: the refusal holds for every device."""
        if refusal.scope is not Scope.DEVICE and not self.stopped:
            self.stopped = True
            await asyncio.to_thread(self._stop, refusal.reason, refusal.answer.message)

    async def give_up(self, reason: ReasonCode, message: str) -> None:
        """Send nothing more in this bulk change: waiting longer is beyond the run's patience."""
        if not self.stopped:
            self.stopped = True
            await asyncio.to_thread(self._stop, reason, message)

    @retrying_transient
    def _mark_sending(self, ids: Collection[int]) -> None:
        with self.database.fenced(self.attempt) as tx:
            device_changes.mark_sending(tx, list(ids))

    @retrying_transient
    def _commit(self, steps: Sequence[Step], calls: int) -> None:
        with self.database.fenced(self.attempt) as tx:
            device_changes.take_steps(tx, steps)
            audit.write_steps(tx, self.attempt, steps)
            bulk_changes.count_calls(tx, self.attempt, calls)

    @retrying_transient
    def _stop(self, reason: ReasonCode, message: str) -> None:
        with self.database.fenced(self.attempt) as tx:
            bulk_changes.stop(tx, self.attempt, reason, message)
            if reason in _KEPT_OUT:
                audit.write_kept_out(tx, self.attempt, reason, message)


_KEPT_OUT = {ReasonCode.CARRIER_SIGN_IN_REFUSED, ReasonCode.CARRIER_ROLE_REFUSED}
_IN_WORK = {DeviceStatus.PENDING, DeviceStatus.SENDING, DeviceStatus.APPLIED, DeviceStatus.UNCONFIRMED}


@asynccontextmanager
async def lease_kept(database: Database, attempt: Attempt, lease_seconds: float) -> AsyncGenerator[None]:
    """Keep the lease while the body works: one that ran out is taken for the end of its run."""
    async with asyncio.TaskGroup() as background:
        keeper = background.create_task(keep_lease(database, attempt, lease_seconds))
        try:
            yield
        finally:
            keeper.cancel()


async def keep_lease(database: Database, attempt: Attempt, lease_seconds: float) -> None:
    """Renew the lease until cancelled.

    Raises:
        LeaseLostError: another attempt owns the bulk change.

    """

    @retrying_transient
    def renew() -> bool:
        with database.begin() as tx:
            return leases.renew(tx, attempt, lease_seconds)

    while await asyncio.to_thread(renew):  # noqa: ASYNC110 -- the lease is the database's: there is no event to wait for
        await asyncio.sleep(lease_seconds / 3)
    raise LeaseLostError(attempt)
