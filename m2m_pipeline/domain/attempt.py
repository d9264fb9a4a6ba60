"""An attempt: one run that owns one bulk change for a while."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attempt:
    """The lease of one run. `token` grows with every owner; a write with an old token touches nothing."""

    bulk_change_id: int
    tenant_id: int
    token: int
    owner: str  # the Dagster run


class LeaseLostError(Exception):
    """Another attempt owns the bulk change now, or it has ended: this one must stop and writes nothing."""

    def __init__(self, attempt: Attempt) -> None:
        super().__init__(
            f"Bulk change {attempt.bulk_change_id}: this attempt (token {attempt.token}, run {attempt.owner}) "
            "no longer owns it. Nothing was written. Retrying this run does not help: look at the run that owns it now."
        )


class NotClaimableError(Exception):
    """The bulk change is not there to be worked on by this run; the message says why."""


class NotThisRunsError(NotClaimableError):
    """Nobody has to do anything about it: what there is to do is done, or another run does it, now or in its turn."""


class NothingToDoError(NotThisRunsError):
    """It has ended, or another run works on it: whatever this run was to do is done, or is that one's to do."""


class OpenDevicesError(Exception):
    """A bulk change was to be finished while devices are open."""
