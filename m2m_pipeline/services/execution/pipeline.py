"""Works on the batches of an attempt in an event loop of its own, so that the carrier's budget is never left unused.

While one batch is confirmed, told to AMOP and audited, the devices of the next are being sent: the account's calls do
not wait for our work. One batch is begun ahead, never more.
"""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from threading import Thread
from typing import Any, TypeVar

from m2m_pipeline.domain.accounts import VerifyMode
from m2m_pipeline.domain.change import DeviceWork
from m2m_pipeline.services.execution.devices import change_devices
from m2m_pipeline.services.execution.running import first_error
from m2m_pipeline.services.execution.session import Session
from m2m_pipeline.services.execution.workbench import Workbench
from m2m_pipeline.storage import device_changes
from m2m_pipeline.storage.database import retrying_transient

REST_SECONDS = 5.0
"""Whoever ends a run waits so long for the calls under way: an answer that came need not be asked for again."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Begun:
    """A batch in work."""

    bench: Workbench
    task: asyncio.Task[None]


class Pipeline:
    """One attempt's work at the carrier. Its methods are for the thread of the run."""

    def __init__(self, open_session: Callable[[], Session], verify: VerifyMode) -> None:
        _spare_what_is_loaded()
        self._verify = verify
        self._begun: dict[int, _Begun] = {}
        self._closing: Future[None] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._run, name="carrier", daemon=True)
        self._thread.start()
        self._session, self._keeper = self._do(self._open(open_session))

    def change(self, batch: int, *, read_ahead: bool) -> None:
        """Bring the devices of a batch as far as the carrier lets them come; `read_ahead`: begin with the next, too.

        Raises:
            LeaseLostError: another attempt owns the bulk change; what was known before is committed.
            DatabaseUnavailableError: after the retries.

        """
        self._do(self._change(batch, read_ahead=read_ahead))

    def close(self) -> None:
        """Send nothing more, wait a while for the calls under way, and commit what is known.

        An interrupt does not cut that short, and is raised afterwards: whoever then gives the lease back would give it
        away with the calls.
        """
        if self._closing is None:
            self._closing = asyncio.run_coroutine_threadsafe(self._close(), self._loop)
        interrupt: BaseException | None = None
        while not self._closing.done():
            try:
                wait([self._closing])
            except BaseException as error:  # noqa: BLE001 -- raised below
                interrupt = error
        self._thread.join()
        if interrupt:
            raise interrupt
        self._closing.result()

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except BaseExceptionGroup as group:
            raise first_error(group) from group

    async def _open(self, open_session: Callable[[], Session]) -> tuple[Session, asyncio.Task[None]]:
        session = open_session()
        await session.lease.renew()
        return session, asyncio.create_task(session.lease.keep())

    async def _change(self, batch: int, *, read_ahead: bool) -> None:
        begun = self._begin(batch)
        if read_ahead:
            begun.bench.next = self._begin(batch + 1, after=begun.bench.all_sent).bench
        await asyncio.wait({begun.task, self._keeper}, return_when=asyncio.FIRST_COMPLETED)
        if self._keeper.done():
            self._keeper.result()
        del self._begun[batch]
        await begun.task

    def _begin(self, batch: int, after: asyncio.Event | None = None) -> _Begun:
        if batch not in self._begun:
            bench = Workbench(self._session)
            self._begun[batch] = _Begun(bench, asyncio.create_task(self._work(bench, batch, after)))
        return self._begun[batch]

    async def _work(self, bench: Workbench, batch: int, after: asyncio.Event | None) -> None:
        if after:
            await after.wait()
        bench.devices = await asyncio.to_thread(self._load, batch)
        await change_devices(bench, self._verify)

    @retrying_transient
    def _load(self, batch: int) -> dict[int, DeviceWork]:
        with self._session.database.begin() as tx:
            work = device_changes.load_work(tx, self._session.attempt.bulk_change_id, batch)
        return {device.id: device for device in work}

    async def _close(self) -> None:
        try:
            await self._come_to_rest()
        finally:
            self._loop.call_soon(self._loop.stop)  # once the result of this is handed on

    async def _come_to_rest(self) -> None:
        self._session.stopped = True
        with suppress(TimeoutError):
            async with asyncio.timeout(REST_SECONDS):
                for begun in self._begun.values():
                    await begun.bench.at_rest.wait()
        tasks = [self._keeper, *(begun.task for begun in self._begun.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)  # whoever waited for one has its error
        await self._session.close()
        await self._loop.shutdown_default_executor()


@cache
def _spare_what_is_loaded() -> None:
    """Keep the garbage collector from walking through all loaded modules again and again.

    Each time it does, for 0.1 to 0.4 s (measured), no call leaves: at 500 calls/s that is up to 200 of them.
    And it walks seldom: what batches and calls in flight hold is no garbage, and soon gone without it. A walk through
    10,000 young objects takes 10 to 20 ms (measured), every few seconds.
    """
    gc.freeze()
    gc.set_threshold(50_000, 10, 20)
