"""Keeps reconciliation out of the way of bulk changes that use the same carrier account."""

import asyncio

from m2m_pipeline.domain.budget.adaptation import pace
from m2m_pipeline.domain.budget.gate import Limits
from m2m_pipeline.storage import gate
from m2m_pipeline.storage.database import Database, retrying_transient


class Turns:
    """Beside a running bulk change calls begin one after the other, at no more than a share of its account's rate.

    The budget gives each of two runs half of the turns, which is too much for work that can wait.
    """

    def __init__(self, database: Database, account: str, limits: Limits, share: float) -> None:
        self._database = database
        self._account = account
        self._limits = limits
        self._share = share
        self._last = float("-inf")
        self._next = asyncio.Lock()

    async def take(self) -> None:
        """Wait until reconciliation may call again."""
        async with self._next:
            rate = await asyncio.to_thread(self._rate_beside_changes)
            clock = asyncio.get_running_loop().time
            if rate is not None:
                await asyncio.sleep(self._last + 1 / (rate * self._share) - clock())
            self._last = clock()

    @retrying_transient
    def _rate_beside_changes(self) -> float | None:
        """The account's rate now, calls/s, where a bulk change uses it too."""
        with self._database.begin() as tx:
            if not gate.change_is_under_way(tx, self._account):
                return None
            seen = gate.read(tx, self._account)
        return pace(seen.gate, seen.limits or self._limits, seen.now) if seen else self._limits.calls_per_second
