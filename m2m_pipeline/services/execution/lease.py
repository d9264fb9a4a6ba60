"""The lease of an attempt while it works: kept alive, and known to this process to the second."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from m2m_pipeline.domain.attempt import Attempt, LeaseLostError
from m2m_pipeline.storage import leases
from m2m_pipeline.storage.database import Database, retrying_transient


@dataclass
class Lease:
    """Held for `seconds` from each renewal.

    `until` is a moment of the event loop's clock, which runs on while the process is stopped: whoever wakes up after it
    must not call the carrier any more.
    """

    database: Database
    attempt: Attempt
    seconds: float
    until: float = 0.0

    @property
    def left(self) -> float:
        """Seconds for which nobody else can hold the lease; 0 or less where it may have run out."""
        return self.until - asyncio.get_running_loop().time()

    async def renew(self) -> None:
        """Prolong the lease from now.

        Raises:
            LeaseLostError: another attempt owns the bulk change.
            DatabaseUnavailableError: after the retries.

        """
        asked_at = asyncio.get_running_loop().time()
        if not await asyncio.to_thread(self._renew):
            raise LeaseLostError(self.attempt)
        self.until = asked_at + self.seconds

    async def keep(self) -> None:
        """Renew the lease until cancelled. Raises as `renew`."""
        while True:
            await self.renew()
            await asyncio.sleep(self.seconds / 3)

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
    def _renew(self) -> bool:
        with self.database.begin() as tx:
            return leases.renew(tx, self.attempt, self.seconds)
