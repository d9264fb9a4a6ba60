"""A carrier account whose every call is paced: the only way by which the services call a carrier."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from m2m_pipeline.domain.accounts import Credential, ServiceProvider, account_key
from m2m_pipeline.domain.budget.gate import PROBE_SECONDS, Limits
from m2m_pipeline.domain.carrier import (
    Capabilities,
    Carrier,
    Carriers,
    DevicePage,
    DeviceReading,
    Leave,
    PlanChange,
    RatePlanPage,
)
from m2m_pipeline.domain.outcome import Answer, ChangeOutcome, ReadFailure, Unreachable
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.services.departing import MissedError, StaysHereError, WithdrawnError, call_in_time
from m2m_pipeline.services.gatekeeper import Permit
from m2m_pipeline.services.pacing import Pacer
from m2m_pipeline.services.turns import Turns
from m2m_pipeline.storage.best_effort import best_effort
from m2m_pipeline.storage.database import Database

READ_ATTEMPTS = 4
READ_BACKOFF_SECONDS = 0.5

Said = TypeVar("Said")

_SHUT = Unreachable(
    Answer(message="The carrier has not answered for a while; no call was made."), ReasonCode.CARRIER_UNREACHABLE
)


MOST_WEIGHT = 8
"""How many turns the most urgent run takes in a row while an ordinary one takes one."""


@dataclass(frozen=True, slots=True)
class CarrierDoor:
    """Opens carrier accounts, each under the budget that all processes share."""

    database: Database
    carriers: Carriers
    probe_seconds: float = PROBE_SECONDS

    def open(
        self, provider: ServiceProvider, credential: Credential, priority: int = 0, *, share: float | None = None
    ) -> "PacedCarrier":
        """The provider's account for the running event loop; to be closed by the caller.

        `priority` above 0 takes more of the account's turns in a row, up to `MOST_WEIGHT`.
        `share`: reads that can wait take no more than that of the account's rate while a bulk change uses it.

        Raises:
            UnsupportedIntegrationError: no adapter serves the provider's integration type.

        """
        account = account_key(provider.base_url, credential.username)
        limits = Limits(provider.calls_per_second, provider.in_flight, self.probe_seconds)
        pacer = Pacer(self.database, account, limits, weight=min(MOST_WEIGHT, 1 + max(0, priority)))
        turns = None if share is None else Turns(self.database, account, limits, share)
        return PacedCarrier(self.carriers.open(provider, credential), pacer, turns)


class PacedCarrier:
    """Reads take their own permit and are said again; a change is made once, with a permit that was taken before.

    For a change that order matters: permit, then the commit of the intent, then the call.
    """

    def __init__(self, carrier: Carrier, pacer: Pacer, turns: Turns | None = None) -> None:
        self._carrier = carrier
        self._turns = turns
        self.pacer = pacer

    @property
    def capabilities(self) -> Capabilities:
        """What this carrier can do."""
        return self._carrier.capabilities

    @property
    def clock_ahead(self) -> timedelta:
        """The carrier's clock to ours, as far as its answers have told."""
        return self._carrier.clock_ahead

    @property
    def call_seconds(self) -> float:
        """How long one call may last."""
        return self._carrier.call_seconds

    async def change_plan(self, change: PlanChange, permit: Permit, may_leave: Callable[[], bool]) -> ChangeOutcome:
        """One change call, which leaves at its permit's moment, or at another's where that was missed. Never repeated.

        Raises:
            WithdrawnError: it has not left, because it may not when it could, or because of what befell the account.

        """
        while True:
            with suppress(MissedError):
                return await call_in_time(
                    self.pacer,
                    permit,
                    lambda leave: self._carrier.change_plan(change, leave),
                    may_leave=may_leave,
                    change=True,
                )
            permits = await self.pacer.permits(1)
            if not permits:
                raise WithdrawnError
            (permit,) = permits

    async def check_access(self) -> ReadFailure | None:
        """Whether the account lets us in: None if it does."""
        return await self._read(self._carrier.check_access)

    async def read_device(self, iccid: str) -> DeviceReading | ReadFailure:
        """Read one device."""
        return await self._read(lambda leave: self._carrier.read_device(iccid, leave))

    async def list_devices(self, modified_since: datetime, page: int) -> DevicePage | ReadFailure:
        """Read one page of the device list."""
        return await self._read(lambda leave: self._carrier.list_devices(modified_since, page, leave))

    async def list_rate_plans(self, page: int) -> RatePlanPage | ReadFailure:
        """Read one page of the rate plans."""
        return await self._read(lambda leave: self._carrier.list_rate_plans(page, leave))

    async def close(self) -> None:
        """Give permits and connections back."""
        try:
            with best_effort("The account was not told how its last calls ended: they count until they must have."):
                await self.pacer.close()
        finally:
            await self._carrier.close()

    async def _read(self, read: Callable[[Leave], Coroutine[object, object, Said]]) -> Said | Unreachable:
        """Reads change nothing: they may be said again, unless the account's breaker is open."""
        answer: Said | Unreachable = _SHUT
        for attempt in range(READ_ATTEMPTS):
            if attempt and not _is_throttled(answer):
                await asyncio.sleep(READ_BACKOFF_SECONDS * 2**attempt)
            if self._turns:
                await self._turns.take()
            while permits := await self.pacer.permits(1, probe=True):
                with suppress(StaysHereError):
                    answer = await call_in_time(self.pacer, permits[0], read)
                    break
            else:
                return answer
            if not isinstance(answer, Unreachable):
                return answer
        return answer


def _is_throttled(answer: object) -> bool:
    return isinstance(answer, Unreachable) and answer.throttled
