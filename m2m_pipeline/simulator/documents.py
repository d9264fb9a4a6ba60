"""The JSON documents of the world, the control API and the ledger: one definition for server and client."""

from collections import Counter
from collections.abc import Iterable
from ipaddress import IPv4Network
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Iccid = Annotated[str, Field(pattern=r"^\d{18,22}$")]
Name = Annotated[str, Field(min_length=1)]


class Document(BaseModel):
    """Unknown keys are refused: a misspelt option of a test must not go unnoticed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(Document):
    """What an account may do. The code of a refusal is 40000029; its HTTP status is not known, so it is an option."""

    calls_per_second: Annotated[int, Field(ge=1)] | None = None
    """Calls admitted in any sliding second; a refused call does not count against it."""
    in_flight: Annotated[int, Field(ge=1)] | None = None
    """Admitted calls open at the same time."""
    error_status: int = 400
    retry_after_s: int | None = None
    """Value of the Retry-After header of a refusal; the real carrier publishes none."""


class Account(Document):
    """One API user and the enterprise account it acts for."""

    username: Name
    api_key: Name
    account_id: str = "100020620"
    reads_rate_plans: bool = True
    """Whether the role (AccountAdmin) allows GET /rateplans; otherwise 10000030."""
    allowed_networks: tuple[IPv4Network, ...] = (IPv4Network("0.0.0.0/0"),)
    """Addresses that the user may call from; any other address looks like a wrong key (10000001)."""
    limits: Limits = Limits()


class Device(Document):
    """One SIM as the world starts with it. Identifiers other than the ICCID are derived from it."""

    iccid: Iccid
    rate_plan: Name
    communication_plan: Name
    status: str = "ACTIVATED"
    account: str | None = None
    """Username of the account that owns it; the first account of the world when left out."""


class DeviceView(Device):
    """A device as it is now, with what an inventory needs."""

    imsi: str
    msisdn: str
    imei: str
    date_updated: str


class World(Document):
    """Accounts, plans and devices of the carrier. Plan names are unique within an operator, so they are global."""

    accounts: Annotated[tuple[Account, ...], Field(min_length=1)]
    rate_plans: Annotated[tuple[Name, ...], Field(min_length=1)]
    communication_plans: Annotated[tuple[Name, ...], Field(min_length=1)]
    devices: tuple[Device, ...] = ()

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        usernames = {account.username for account in self.accounts} | {None}
        problems = [
            *_repeated("account", (account.username for account in self.accounts)),
            *_repeated("device", (device.iccid for device in self.devices)),
            *_missing("rate plan", {device.rate_plan for device in self.devices} - set(self.rate_plans)),
            *_missing(
                "communication plan",
                {device.communication_plan for device in self.devices} - set(self.communication_plans),
            ),
            *_missing("account", {device.account for device in self.devices} - usernames),
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self


class Drift(Document):
    """A change behind everyone's back, as by a person in the carrier's console."""

    rate_plan: Name | None = None
    communication_plan: Name | None = None
    status: str | None = None


class AccountLimits(Limits):
    """Replaces the limits of one account, or of all."""

    account: str | None = None


class Latency(Document):
    """Every carrier call takes between low_ms and high_ms, uniformly, from the seed."""

    low_ms: Annotated[float, Field(ge=0)]
    high_ms: Annotated[float, Field(ge=0)]


class LedgerCall(Document):
    """One call as the carrier saw it. An open call has neither end nor status yet."""

    n: int
    start: float
    """Seconds of the system's monotonic clock (comparable across processes of one machine) at the headers' arrival."""
    end: float | None
    wall: float
    """Seconds since the epoch at the start; never skewed."""
    method: str
    path: str
    query: str
    iccid: str | None
    account: str | None
    status: int | None
    """The HTTP status that was answered; null if the call never got as far as a status line."""
    error_code: str | None
    retry_after: bool
    """Whether the answer named a time to come back."""
    scenario: str | None
    """The scenarios in force on this call, joined by +."""
    in_flight: int
    """Open calls of the same account at the start, this one included."""


class LedgerChange(Document):
    """One change of a device's plans that took effect; a PUT to the present plans makes none."""

    n: int
    call: int | None
    """The call that asked for it; null for drift over the control API and for a call before the last reset."""
    iccid: str
    from_plan: str
    to_plan: str
    from_comm: str
    to_comm: str
    at: float
    """Seconds since the epoch by the carrier's clock."""


class LedgerSummary(Document):
    """The whole ledger in one page; per-account numbers have the key "" for calls without a known user."""

    calls: int
    changes: int
    open_calls: int
    by_method: dict[str, dict[str, int]]
    """method → HTTP status, or "none" for calls without an answer → count."""
    max_calls_in_a_second: dict[str, int]
    """account → the most calls, refused ones included, in any sliding window of one second."""
    max_in_flight: dict[str, int]
    changed_more_than_once: dict[str, int]
    """ICCID → effective changes, where more than one."""


def _repeated(kind: str, names: Iterable[str]) -> list[str]:
    return [f"{kind} {name!r} appears {count} times" for name, count in Counter(names).items() if count > 1]


def _missing(kind: str, names: set[str] | set[str | None]) -> list[str]:
    return [f"a device names an unknown {kind} {name!r}" for name in sorted(filter(None, names))]
