"""A pass: one comparison of a provider's whole inventory with the carrier's list, in phases that a crash can end."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class PassPhase(StrEnum):
    """How far a pass has come."""

    LISTING = "LISTING"  # the carrier's list is read, from its last page to its first
    TAIL = "TAIL"  # what was modified meanwhile is read again
    CHECKING = "CHECKING"  # devices that differ are read alone
    DONE = "DONE"
    ABANDONED = "ABANDONED"  # too old to be gone on with, or replaced by a full one


OPEN_PASSES = frozenset({PassPhase.LISTING, PassPhase.TAIL, PassPhase.CHECKING})


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass that `owner` works on. Moments are the carrier's, so far as its answers tell its clock.

    `since`: the list goes back to there; `begun_at`: when the listing began, None before that; `page`: the page to be
    read next, 0 after the last, None before the end of the list is found.
    """

    id: int
    tenant_id: int
    service_provider_id: int
    owner: str
    full: bool
    phase: PassPhase
    since: datetime | None
    begun_at: datetime | None
    page: int | None
    sweeps: int
    checked: int


@dataclass(frozen=True, slots=True)
class PassSummary:
    """What a pass has come to so far, in devices and carrier calls.

    `checked` devices were asked about alone; `unchecked` ones differ in the list, and wait for the next pass: there was
    no room for them in this one, or the carrier does not tell.
    """

    full: bool
    done: bool
    listed: int
    checked: int
    unchecked: int
    carrier_calls: int
    started_at: datetime
    finished_at: datetime | None


class PassLostError(Exception):
    """Another process goes on with the pass: this one writes nothing more."""

    def __init__(self, pass_id: int) -> None:
        super().__init__(
            f"Reconciliation pass {pass_id} is no longer this process's. Nothing was written. "
            "Trying again does not help: look at the run that goes on with it."
        )
