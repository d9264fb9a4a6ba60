"""Every call to a carrier passes here: paced by the account's budget, within its calls in flight, and counted."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TypeVar

from m2m_pipeline.domain.accounts import Credential, ServiceProvider, account_key
from m2m_pipeline.domain.carrier import Capabilities, Carrier, DevicePage, DeviceReading, PlanChange, RatePlanPage
from m2m_pipeline.domain.outcome import ChangeOutcome, ReadFailure, Unreachable
from m2m_pipeline.storage import gate
from m2m_pipeline.storage.database import Database, retrying_transient

SHARE_OF_THE_LIMIT = 0.96
"""Timers and networks bunch calls that left evenly: at the limit itself, a second sees one to three calls too many."""

HOLD_SECONDS = 1.0
"""How long the account rests after the carrier said that it is over its limit, where the carrier names no time."""

READ_ATTEMPTS = 4
READ_BACKOFF_SECONDS = 0.5

Answer = TypeVar("Answer")


class Pacer:
    """This process's view of an account's budget: permits from the shared row, slots for the calls in flight."""

    def __init__(self, database: Database, provider: ServiceProvider, credential: Credential) -> None:
        self._database = database
        self._account = account_key(provider.base_url, credential.username)
        self.spacing = 1 / (provider.calls_per_second * SHARE_OF_THE_LIMIT)  # seconds between two calls
        self.group = min(provider.in_flight, max(1, int(provider.calls_per_second)))  # calls reserved at once
        self.slots = asyncio.Semaphore(provider.in_flight)
        self.calls = 0

    async def reserve(self, calls: int) -> float:
        """Reserve `calls` calls, `spacing` apart; the event loop's time of the first."""
        delay = await asyncio.to_thread(self._reserve, calls)
        return asyncio.get_running_loop().time() + delay

    @retrying_transient
    def _reserve(self, calls: int) -> float:
        with self._database.begin() as tx:
            return float(gate.reserve(tx, self._account, calls, self.spacing))

    async def rest(self, seconds: float | None) -> None:
        """Let the whole account rest: the carrier said that it is over its limit."""
        await asyncio.to_thread(self._hold, seconds or HOLD_SECONDS)

    @retrying_transient
    def _hold(self, seconds: float) -> None:
        with self._database.begin() as tx:
            gate.hold(tx, self._account, seconds)

    async def wait_until(self, moment: float) -> None:
        """Sleep until a time of the event loop's clock."""
        await asyncio.sleep(max(0.0, moment - asyncio.get_running_loop().time()))

    @asynccontextmanager
    async def call(self) -> AsyncGenerator[None]:
        """One call with its own permit and slot."""
        async with self.slots:
            await self.wait_until(await self.reserve(1))
            self.calls += 1
            yield


class PacedCarrier:
    """A carrier account whose reads take their own permit and are said again while the carrier is out of reach.

    A change is different: its permit is taken before its intent is committed, so `change_plan` takes none.
    """

    def __init__(self, carrier: Carrier, pacer: Pacer) -> None:
        self._carrier = carrier
        self.pacer = pacer

    @property
    def capabilities(self) -> Capabilities:
        """What this carrier can do."""
        return self._carrier.capabilities

    async def change_plan(self, change: PlanChange) -> ChangeOutcome:
        """One change call, whose permit and slot the caller holds. Never repeated here."""
        self.pacer.calls += 1
        outcome = await self._carrier.change_plan(change)
        if isinstance(outcome, Unreachable) and outcome.throttled:
            await self.pacer.rest(outcome.retry_after)
        return outcome

    async def check_access(self) -> ReadFailure | None:
        """Whether the account lets us in: None if it does."""
        return await self._read(self._carrier.check_access)

    async def read_device(self, iccid: str) -> DeviceReading | ReadFailure:
        """Read one device."""
        return await self._read(lambda: self._carrier.read_device(iccid))

    async def list_devices(self, modified_since: datetime, page: int) -> DevicePage | ReadFailure:
        """Read one page of the device list."""
        return await self._read(lambda: self._carrier.list_devices(modified_since, page))

    async def list_rate_plans(self, page: int) -> RatePlanPage | ReadFailure:
        """Read one page of the rate plans."""
        return await self._read(lambda: self._carrier.list_rate_plans(page))

    async def close(self) -> None:
        """Give the connections back."""
        await self._carrier.close()

    async def _read(self, read: Callable[[], Coroutine[object, object, Answer]]) -> Answer:
        """Reads change nothing: they may be said again."""
        attempt = 1
        while True:
            async with self.pacer.call():
                answer = await read()
            if not isinstance(answer, Unreachable) or attempt == READ_ATTEMPTS:
                return answer
            if answer.throttled:
                await self.pacer.rest(answer.retry_after)
            else:
                await asyncio.sleep(READ_BACKOFF_SECONDS * 2**attempt)
            attempt += 1
