"""Taking a bulk change: one run at a time works on it."""

from m2m_pipeline.domain.attempt import Attempt, NotClaimableError
from m2m_pipeline.domain.change import BulkChange
from m2m_pipeline.domain.status import ENDED_BULK_CHANGES, BulkChangeStatus
from m2m_pipeline.storage import bulk_changes, leases, overlaps
from m2m_pipeline.storage.database import Database


def claim(database: Database, bulk_change_id: int, owner: str, lease_seconds: float) -> Attempt:
    """Take or renew the lease of a bulk change.

    Raises:
        NotClaimableError: it has ended, another run works on it, it has to wait for an earlier bulk change, or it does
            not exist; the message says which.

    """
    with database.begin() as tx:
        before = bulk_changes.find(tx, bulk_change_id)
        attempt = leases.claim(tx, bulk_change_id, owner, lease_seconds)
        if attempt is None:
            earlier = overlaps.waits_for(tx, bulk_change_id)
            raise NotClaimableError(why_not(before, bulk_change_id, earlier))
        return attempt


def why_not(change: BulkChange | None, bulk_change_id: int, earlier: int | None = None) -> str:
    """Why a run has nothing to do for a bulk change."""
    if change is None:
        return f"There is no bulk change {bulk_change_id}."
    if change.status in ENDED_BULK_CHANGES:
        return f"Bulk change {bulk_change_id} has ended as {change.status}: nothing to do."
    if change.status is BulkChangeStatus.QUEUED and earlier:
        return (
            f"Bulk change {bulk_change_id} waits for bulk change {earlier}, which has devices of it: nothing was done."
        )
    return f"Bulk change {bulk_change_id} is {change.status} and is not this run's to work on: nothing was done."
