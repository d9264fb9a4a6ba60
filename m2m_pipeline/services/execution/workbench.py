"""The devices of one batch while they are worked on: what memory knows, and the one way by which it is committed."""

import asyncio
import time
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Self

from sqlalchemy import Connection

from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.domain.change import DeviceWork, Step
from m2m_pipeline.domain.outcome import Refused
from m2m_pipeline.domain.status import DeviceStatus
from m2m_pipeline.services.execution.abandoned import AbandonedCalls
from m2m_pipeline.services.execution.access import Denied, writes_denied
from m2m_pipeline.services.execution.outcomes import after_reading
from m2m_pipeline.services.execution.session import Session
from m2m_pipeline.storage import accounts, audit, bulk_changes, device_changes, marks
from m2m_pipeline.storage.database import retrying_transient

FLUSH_ROWS = 200
FLUSH_SECONDS = 1.0
"""Outcomes are committed in groups: a crash makes at most these devices uncertain, and a commit costs like one row."""


@dataclass(frozen=True, slots=True)
class _Parcel:
    """What one transaction tells, with the carrier calls since the last; by its mark it is known whether it was."""

    steps: Sequence[Step]
    calls: int
    mark: str


@dataclass
class Workbench:
    """One batch in work. Devices are changed here only by `commit`, so that memory never runs ahead of the database."""

    session: Session
    devices: dict[int, DeviceWork] = field(default_factory=dict[int, DeviceWork])
    all_sent: asyncio.Event = field(default_factory=asyncio.Event)  # what is left needs little of the budget
    at_rest: asyncio.Event = field(default_factory=asyncio.Event)  # no change call is announced or under way
    next: Self | None = None  # begun when all of this one is sent
    abandoned: AbandonedCalls = field(init=False)
    _begun_at: float = field(default_factory=time.monotonic)
    _answered_at: dict[int, float] = field(default_factory=dict[int, float])
    _buffer: list[Step] = field(default_factory=list[Step])
    _undelivered: _Parcel | None = None
    _full: asyncio.Event = field(default_factory=asyncio.Event)
    _committing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.at_rest.set()
        self.abandoned = AbandonedCalls(self.session)

    @property
    def has_time(self) -> bool:
        """Whether the next batch has devices to be sent: the account's calls do not wait for this one then."""
        return self.next is not None and any(one.status is DeviceStatus.PENDING for one in self.next.devices.values())

    def in_status(self, status: DeviceStatus) -> list[DeviceWork]:
        """The batch's devices that are in `status` now, in row order."""
        return [device for device in self.devices.values() if device.status is status]

    async def mark_sending(self, devices: Sequence[DeviceWork]) -> list[DeviceWork]:
        """Commit the intent to call for `devices`; the devices as they are now.

        None of them where the operator has switched writes off: then the bulk change is stopped.
        """
        denied = await asyncio.to_thread(self._mark_sending, [device.id for device in devices])
        if denied:
            await self.session.give_up(denied.reason, denied.message)
            return []
        moment = datetime.now(UTC)
        now = [replace(d, status=DeviceStatus.SENDING, attempts=d.attempts + 1, sent_at=moment) for d in devices]
        self.devices.update({device.id: device for device in now})
        return now

    def note_answered(self, device: DeviceWork) -> None:
        """The call to the device is over, whatever came of it."""
        self._answered_at[device.id] = time.monotonic()

    def answered_at(self, device_change_id: int) -> float:
        """Since when no call of ours to the device is under way, by the monotonic clock."""
        return self._answered_at.get(device_change_id, self._begun_at)

    def take(self, step: Step) -> None:
        """Put a decided move into the next commit."""
        self._buffer.append(step)
        if len(self._buffer) >= FLUSH_ROWS:
            self._full.set()

    def learn(self, device: DeviceWork, reading: DeviceReading | Refused, *, settled: bool, over: bool = False) -> bool:
        """Take the move that a reading leads to (as `after_reading`); False where the device must be read again."""
        away = device.sent_at is not None and self.session.carrier.pacer.was_away_since(device.sent_at)
        step = after_reading(device, reading, settled=settled, over=over, away=away)
        if step is not None:
            self.take(step)
        return step is not None

    async def commit(self) -> None:
        """Commit the moves that were taken so far, with their audit entries, in one transaction.

        Where the database refuses, the moves are kept: what is known is not forgotten while the process lives. What
        may have been committed all the same is told first, as the same parcel.
        """
        async with self._committing:
            if self._undelivered:
                await self._deliver(self._undelivered)
            steps, self._buffer = self._buffer, []
            self._full.clear()
            calls = self.session.carrier.pacer.take_calls()
            if steps or calls:
                await self._deliver(_Parcel(steps, calls, marks.new()))

    async def _deliver(self, parcel: _Parcel) -> None:
        self._undelivered = parcel
        await asyncio.to_thread(self._commit, parcel)
        self._undelivered = None
        self._remember(parcel.steps)

    def _remember(self, steps: Sequence[Step]) -> None:
        for step in steps:
            device = self.devices[step.device_change_id]
            if step.verified or step.status not in _IN_WORK:
                del self.devices[step.device_change_id]
            else:
                self.devices[device.id] = replace(
                    device,
                    status=step.status,
                    attempts=step.attempts,
                    last_answer=step.last_answer,
                    old_rate_plan=step.old_rate_plan,
                    old_communication_plan=step.old_communication_plan,
                )

    @asynccontextmanager
    async def committing(self) -> AsyncGenerator[None]:
        """Commit regularly while the body works, and what is known then, whatever ends the body."""
        async with asyncio.TaskGroup() as background:
            committer = background.create_task(self._commit_regularly())
            try:
                yield
            finally:
                committer.cancel()
                await self._commit_to_the_end()

    async def _commit_regularly(self) -> None:
        """Commit every `FLUSH_SECONDS`, or when `FLUSH_ROWS` moves wait."""
        while True:
            try:
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._full.wait()
            except TimeoutError:
                pass
            await self._commit_to_the_end()

    async def _commit_to_the_end(self) -> None:
        """Commit, also when the wait for it is broken off; the next commit then meets what this one has met."""
        commit = asyncio.create_task(self.commit())
        commit.add_done_callback(_look_at)
        await asyncio.shield(commit)

    @retrying_transient
    def _mark_sending(self, ids: Collection[int]) -> Denied | None:
        with self.session.database.fenced(self.session.attempt, shared=True) as tx:
            denied = writes_denied(accounts.provider_of(tx, self.session.attempt.bulk_change_id))
            if denied is None:
                device_changes.mark_sending(tx, list(ids))
            return denied

    @retrying_transient
    def _commit(self, parcel: _Parcel) -> None:
        attempt = self.session.attempt

        def tell(tx: Connection) -> None:
            device_changes.take_steps(tx, parcel.steps)
            audit.write_steps(tx, attempt, parcel.steps)
            bulk_changes.count_calls(tx, attempt, parcel.calls)

        self.session.database.once(attempt, parcel.mark, tell)


_IN_WORK = {DeviceStatus.PENDING, DeviceStatus.SENDING, DeviceStatus.APPLIED, DeviceStatus.UNCONFIRMED}


def _look_at(task: asyncio.Task[None]) -> None:
    """Else asyncio logs, with its stack, what ended a task that nobody waited for."""
    if not task.cancelled():
        task.exception()
