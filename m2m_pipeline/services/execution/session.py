"""What the batches of one attempt share while they are worked on."""

import asyncio
from dataclasses import dataclass

from m2m_pipeline.domain.attempt import Attempt
from m2m_pipeline.domain.outcome import Refused, Scope
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.services.execution.lease import Lease
from m2m_pipeline.services.paced import PacedCarrier
from m2m_pipeline.storage import audit, bulk_changes
from m2m_pipeline.storage.best_effort import best_effort
from m2m_pipeline.storage.database import Database, retrying_transient

_KEPT_OUT = {ReasonCode.CARRIER_SIGN_IN_REFUSED, ReasonCode.CARRIER_ROLE_REFUSED}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a run waits (seconds)."""

    settle: float  # after an accepted change, until the carrier must show it
    outage: float  # for a carrier that is out of reach, before the run gives up on it


@dataclass
class Session:
    """One attempt at one carrier account: one set of connections, one place in the account's queue."""

    database: Database
    lease: Lease
    carrier: PacedCarrier
    patience: Patience
    stopped: bool = False  # nothing more is sent
    in_vain_since: float | None = None  # the event loop's clock; no change that was tried since then got through

    @property
    def attempt(self) -> Attempt:
        """Whose lease it is."""
        return self.lease.attempt

    async def stop(self, refusal: Refused) -> None:
        """Send nothing more in this bulk change, if the refusal holds for every device."""
        if refusal.scope is not Scope.DEVICE:
            await self.give_up(refusal.reason, refusal.answer.message)

    async def give_up(self, reason: ReasonCode, message: str) -> None:
        """Send nothing more in this bulk change, for a reason that is said once."""
        if not self.stopped:
            self.stopped = True
            await asyncio.to_thread(self._stop, reason, message)

    @retrying_transient
    def count_calls(self, calls: int) -> None:
        """Note carrier calls that no commit of outcomes has noted."""
        with self.database.fenced(self.attempt) as tx:
            bulk_changes.count_calls(tx, self.attempt, calls)

    async def close(self) -> None:
        """Give permits and connections back. No call is in flight any more, and no outcome is left."""
        try:
            if calls := self.carrier.pacer.take_calls():
                with best_effort(f"Bulk change {self.attempt.bulk_change_id}: carrier calls not counted: {calls}."):
                    await asyncio.to_thread(self.count_calls, calls)
        finally:
            await self.carrier.close()

    @retrying_transient
    def _stop(self, reason: ReasonCode, message: str) -> None:
        with self.database.fenced(self.attempt) as tx:
            bulk_changes.stop(tx, self.attempt, reason, message)
            if reason in _KEPT_OUT:
                audit.write_kept_out(tx, self.attempt, reason, message)
