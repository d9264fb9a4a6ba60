"""What the contract suite asks of a stand: a carrier on a real socket that an adapter is tested against.

A new adapter brings a stand of its own, adds it to `STANDS` in test_contract.py, and has the whole suite.
"""

from collections.abc import Sequence
from enum import Enum, auto
from typing import Protocol

from m2m_pipeline.domain.accounts import Credential

OLD_PLAN = "Plan Old"
NEW_PLAN = "Plan New"
RETIRED_PLAN = "Plan that is not there"


class Trouble(Enum):
    """What the carrier can be made to do to every call."""

    APPLIED_THEN_RESET = auto()
    APPLIED_THEN_SILENCE = auto()
    APPLIED_THEN_SERVER_ERROR = auto()
    GATEWAY_ERROR = auto()  # a gateway's page; the carrier never saw the call
    RATE_LIMITED = auto()
    ROLE_REFUSED = auto()
    KEY_REVOKED = auto()
    ACCEPTED_NOT_YET_APPLIED = auto()
    SUCCESS_FOR_ANOTHER_DEVICE = auto()
    OVERSIZED = auto()


class Stand(Protocol):
    """A carrier with one account and some devices, all on OLD_PLAN when a test begins."""

    integration_type: str
    base_url: str
    credential: Credential
    unknown_device: str

    @property
    def devices(self) -> Sequence[str]:
        """More than one page of them, by the identifier that the adapter declares."""
        ...

    def begin(self) -> None:
        """Back to the start: all devices on OLD_PLAN, no trouble, no call counted."""

    def make(self, trouble: Trouble) -> None:
        """From now on, to every call that it can happen to."""

    def plan_of(self, device: str) -> str:
        """The plan that the device is truly on."""
        ...

    def calls(self) -> int:
        """How many calls the carrier or a gateway before it has received."""
        ...
