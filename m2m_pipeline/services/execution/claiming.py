"""Taking a bulk change: one run at a time works on it."""

from sqlalchemy import Connection

from m2m_pipeline.domain.attempt import Attempt, NotClaimableError, NothingToDoError, NotThisRunsError
from m2m_pipeline.domain.commands import sentence
from m2m_pipeline.domain.status import ENDED_BULK_CHANGES, BulkChangeStatus
from m2m_pipeline.storage import accounts, bulk_changes, leases, overlaps
from m2m_pipeline.storage.database import Database, retrying_transient


@retrying_transient
def claim(database: Database, bulk_change_id: int, owner: str, lease_seconds: float) -> Attempt:
    """Take or renew the lease of a bulk change.

    Raises:
        NothingToDoError: it has ended, or another run works on it; the message says which.
        NotThisRunsError: it has to wait for an earlier bulk change, or was taken from this run.
        NotClaimableError: it does not exist, or nobody has started it; the message says what a person does.

    """
    with database.begin() as tx:
        attempt = leases.claim(tx, bulk_change_id, owner, lease_seconds)
        if attempt is None:
            if over := why_nothing_to_do(tx, bulk_change_id, owner):
                raise NothingToDoError(over)
            raise _why_not(tx, bulk_change_id)
        return attempt


def why_nothing_to_do(tx: Connection, bulk_change_id: int, owner: str) -> str | None:
    """Why the run `owner` has nothing to do for a bulk change; None where that is not sure."""
    change = bulk_changes.find(tx, bulk_change_id)
    if change and change.status in ENDED_BULK_CHANGES:
        return f"Bulk change {bulk_change_id} has ended as {change.status}: nothing to do."
    if holder := leases.find_holder(tx, bulk_change_id, owner):
        return f"Bulk change {bulk_change_id} is being worked on by run {holder}: nothing was done here."
    return None


def unknown(bulk_change_id: int) -> str:
    """What is said of an id that nobody has."""
    return (
        f"There is no bulk change {bulk_change_id}. Nothing was done. Trying this run again does not help: launch it "
        "with the number of one that there is, as `m2m submit` prints it and the page and the catalog list them."
    )


def _why_not(tx: Connection, bulk_change_id: int) -> NotClaimableError:
    change = bulk_changes.find(tx, bulk_change_id)
    if change is None:
        return NotClaimableError(unknown(bulk_change_id))
    if change.status is BulkChangeStatus.NEW:
        return NotClaimableError(
            sentence(
                f"Bulk change {bulk_change_id} is NEW: nobody has started it. Nothing was done. Trying this run again "
                "does not help: `m2m process ID --tenant TENANT` starts it, in a run of its own, and "
                "`m2m withdraw ID --tenant TENANT` declines it.",
                {"ID": str(bulk_change_id), "TENANT": accounts.tenant_name(tx, change.tenant_id)},
            )
        )
    earlier = overlaps.waits_for(tx, bulk_change_id)
    if change.status is BulkChangeStatus.QUEUED and earlier:
        return NotThisRunsError(
            f"Bulk change {bulk_change_id} waits for bulk change {earlier}, which has devices of it: nothing was done."
        )
    return NotThisRunsError(
        f"Bulk change {bulk_change_id} is {change.status} and is not this run's to work on: nothing was done."
    )
