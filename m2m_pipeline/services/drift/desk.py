"""One pass while this process works on it: its calls, and its commits."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection

from m2m_pipeline.domain.carrier import DevicePage, DeviceReading
from m2m_pipeline.domain.outcome import Refused, Scope, Unreachable
from m2m_pipeline.domain.passes import Pass
from m2m_pipeline.services.accounts import CarrierCallFailedError
from m2m_pipeline.services.paced import PacedCarrier
from m2m_pipeline.storage import passes
from m2m_pipeline.storage.database import Database, retrying_transient

Found = TypeVar("Found")


@dataclass
class Desk:
    """`work` is what the database has: it is changed here only by a commit."""

    database: Database
    carrier: PacedCarrier
    lease_seconds: float
    work: Pass

    async def page(self, since: datetime, number: int) -> DevicePage | None:
        """A page of the list; None where the carrier refuses it and may mean that there is none of that number.

        Raises:
            CarrierCallFailedError: the carrier did not answer, or does not let us list.

        """
        answer = await self.carrier.list_devices(since, number)
        if isinstance(answer, Refused) and answer.scope is not Scope.ACCOUNT and number > 1:
            return None
        if isinstance(answer, Refused | Unreachable):
            raise CarrierCallFailedError(answer)
        return answer

    async def device(self, iccid: str) -> DeviceReading | Refused:
        """One device alone; Refused where the carrier says no for this one.

        Raises:
            CarrierCallFailedError: the carrier did not answer, or refuses more than this device.

        """
        answer = await self.carrier.read_device(iccid)
        if isinstance(answer, Unreachable) or (isinstance(answer, Refused) and answer.scope is not Scope.DEVICE):
            raise CarrierCallFailedError(answer)
        return answer

    async def look(self, ask: Callable[[Connection, Pass], Found]) -> Found:
        """Ask the database."""
        return await asyncio.to_thread(self._look, ask)

    async def commit(
        self,
        moved: Pass,
        write: Callable[[Connection, Pass], None] | None = None,
        *,
        checked: int = 0,
    ) -> None:
        """Write, and write down how far the pass is, in one transaction.

        Raises:
            PassLostError: another process goes on with the pass.

        """
        calls = self.carrier.pacer.take_calls()
        await asyncio.to_thread(self._commit, moved, write, calls, checked)
        self.work = replace(moved, checked=moved.checked + checked)

    @retrying_transient
    def _look(self, ask: Callable[[Connection, Pass], Found]) -> Found:
        with self.database.begin() as tx:
            return ask(tx, self.work)

    @retrying_transient
    def _commit(self, moved: Pass, write: Callable[[Connection, Pass], None] | None, calls: int, checked: int) -> None:
        with self.database.begin() as tx:
            passes.move(tx, moved, self.lease_seconds, calls=calls, checked=checked)
            if write:
                write(tx, moved)
