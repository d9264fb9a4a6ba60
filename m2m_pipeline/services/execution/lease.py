"""The lease of an attempt while it works: kept alive, and known to this process to the second."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from m2m_pipeline import clock
from m2m_pipeline.domain.attempt import Attempt, LeaseLostError
from m2m_pipeline.storage import leases
from m2m_pipeline.storage.database import Database, retrying_transient

RENEWED_AFTER = 1 / 4
ENOUGH = 2 / 3
"""Of the lease: when it is renewed, and what is enough for any call. The usual 60 s are renewed after 15 s, so that 45
are left but for the time that a renewal takes, and a call, which may last 40 s, leaves where 40 are left. A lease of
less than 60 s cannot promise each call its time: what lasts longer is cut at the lease's end."""


@dataclass
class Lease:
    """Held for `seconds` from each renewal.

    `until` is a moment by `clock.now`, which runs on while process or machine stand still: whoever wakes up after it
    must not call the carrier any more.
    """

    database: Database
    attempt: Attempt
    seconds: float
    until: float = 0.0
    _renewed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def left(self) -> float:
        """Seconds for which nobody else can hold the lease; 0 or less where it may have run out."""
        return self.until - clock.now()

    def outlasts(self, call_seconds: float) -> bool:
        """Whether a call that leaves now has ended before anybody else can hold the lease."""
        return self.left >= min(call_seconds, ENOUGH * self.seconds)

    async def until_it_outlasts(self, call_seconds: float) -> None:
        """Wait for the renewal after which `outlasts` holds. Whoever keeps the lease ends the wait where it is lost."""
        while not self.outlasts(call_seconds):
            await self._renewed.wait()

    async def renew(self) -> None:
        """Prolong the lease from now.

        Raises:
            LeaseLostError: another attempt owns the bulk change.
            DatabaseUnavailableError: after the retries.

        """
        asked_at = await asyncio.to_thread(self._renew)
        if asked_at is None:
            raise LeaseLostError(self.attempt)
        self.until = asked_at + self.seconds
        self._renewed.set()
        self._renewed = asyncio.Event()

    async def keep(self) -> None:
        """Renew the lease until cancelled. Raises as `renew`."""
        while True:
            await self.renew()
            await asyncio.sleep(RENEWED_AFTER * self.seconds)

    @asynccontextmanager
    async def kept(self) -> AsyncGenerator[None]:
        """Keep the lease while the body works: one that ran out is taken for the end of its run."""
        await self.renew()
        async with asyncio.TaskGroup() as background:
            keeper = background.create_task(self.keep())
            try:
                yield
            finally:
                keeper.cancel()

    @retrying_transient
    def _renew(self) -> float | None:
        """The moment before the try that succeeded; None where the lease is lost."""
        asked_at = clock.now()
        with self.database.begin() as tx:
            return asked_at if leases.renew(tx, self.attempt, self.seconds) else None
