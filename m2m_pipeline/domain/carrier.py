"""The port that every carrier adapter implements, and what an adapter declares about its carrier."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Protocol

from m2m_pipeline.domain.accounts import Credential, ServiceProvider
from m2m_pipeline.domain.outcome import ChangeOutcome, ReadFailure


class Identifier(StrEnum):
    """By which number the carrier knows a device."""

    ICCID = "ICCID"
    EID = "EID"
    MSISDN = "MSISDN"


class Completion(StrEnum):
    """When a carrier's answer to a change is final."""

    SYNC = "SYNC"  # the answer is the outcome
    POLL = "POLL"  # accepted; the outcome is asked for
    CALLBACK = "CALLBACK"  # accepted; the outcome is told


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an adapter declares of its carrier; the engine reads this and knows no carrier by name."""

    identifier: Identifier
    completion: Completion
    devices_per_call: int
    effective_date_horizon_days: int | None  # None: the carrier takes no effective date
    repeat_is_free: bool  # sending the same value again costs no quota and does no harm
    page_size: int  # devices a call when listing


@dataclass(frozen=True, slots=True)
class PlanChange:
    """One device to move: what the carrier is asked for."""

    iccid: str
    rate_plan: str
    communication_plan: str | None = None
    effective_date: date | None = None


@dataclass(frozen=True, slots=True)
class DeviceReading:
    """A device as the carrier shows it now."""

    iccid: str
    rate_plan: str | None
    communication_plan: str | None
    sim_status: str | None = None
    msisdn: str | None = None
    imsi: str | None = None

    def shows(self, rate_plan: str, communication_plan: str | None) -> bool:
        """Whether the device is on `rate_plan` (and on `communication_plan`, where one is meant)."""
        return self.rate_plan == rate_plan and communication_plan in {None, self.communication_plan}


@dataclass(frozen=True, slots=True)
class DevicePage:
    """One page of the carrier's device list, oldest change first."""

    devices: Sequence[DeviceReading]
    last: bool


@dataclass(frozen=True, slots=True)
class RatePlanPage:
    """One page of the rate plans published to the account."""

    names: Sequence[str]
    last: bool


Leave = Callable[[], Awaitable[None]]
"""A call awaits it once, when its connection stands; when it returns, the call leaves at once.

If it raises, nothing leaves, and whoever made the call gets what was raised. A connection may take longer to come about
than lies between two calls (two or three round trips, with TLS): who waited for the moment before that would be late.
"""


async def at_once() -> None:
    """A `Leave` that lets every call go."""


class Carrier(Protocol):
    """One carrier account, ready to be called. Every method is at most one HTTP call and never raises for an answer.

    The caller paces the calls: an adapter waits for nothing but the network, and for the word to leave.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What this carrier can do."""
        ...

    @property
    def clock_ahead(self) -> timedelta:
        """The carrier's clock to ours, as far as its answers have told; zero where it is not known."""
        ...

    @property
    def call_seconds(self) -> float:
        """How long one call may last: no answer is waited for any longer."""
        ...

    async def check_access(self, leave: Leave = at_once) -> ReadFailure | None:
        """Whether the account lets us in: None if it does. The cheapest authenticated call there is."""
        ...

    async def change_plan(self, change: PlanChange, leave: Leave = at_once) -> ChangeOutcome:
        """Ask for one change. Never repeats itself."""
        ...

    async def read_device(self, iccid: str, leave: Leave = at_once) -> DeviceReading | ReadFailure:
        """Read one device."""
        ...

    async def list_devices(
        self, modified_since: datetime, page: int, leave: Leave = at_once
    ) -> DevicePage | ReadFailure:
        """Read page `page` (from 1) of the devices modified since a moment by the carrier's clock."""
        ...

    async def list_rate_plans(self, page: int, leave: Leave = at_once) -> RatePlanPage | ReadFailure:
        """Read page `page` (from 1) of the account's rate plans."""
        ...

    async def close(self) -> None:
        """Give the connections back."""
        ...


class Carriers(Protocol):
    """The adapters there are, by integration type."""

    def capabilities(self, integration_type: str) -> Capabilities | None:
        """What the carrier behind an integration type can do; None where no adapter serves it."""
        ...

    def open(self, provider: ServiceProvider, credential: Credential) -> Carrier:
        """A carrier account, ready to be called.

        Raises:
            UnsupportedIntegrationError: no adapter serves the provider's integration type.

        """
        ...


class UnsupportedIntegrationError(Exception):
    """No adapter serves this integration type."""
