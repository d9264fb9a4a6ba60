"""A person lets the refused devices of an ended bulk change be tried again: a new attempt over them alone."""

from dataclasses import dataclass

from sqlalchemy import Connection

from m2m_pipeline.domain.audit import AuditKind
from m2m_pipeline.domain.change import BulkChange
from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline.services.reporting import BulkChangeUnknownError
from m2m_pipeline.storage import accounts, audit, bulk_changes, retries
from m2m_pipeline.storage.database import Database


@dataclass(frozen=True, slots=True)
class Retried:
    """What a retry came to, in devices. `held`: another bulk change has them, so they stay refused and say so."""

    bulk_change_id: int
    pending: int
    held: int
    status: BulkChangeStatus = BulkChangeStatus.QUEUED


class NotRetryableError(Exception):
    """There is nothing to retry in that bulk change, or not now."""


class Retrying:
    """Second chances."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def retry(self, tenant_name: str, bulk_change_id: int, requested_by: str) -> Retried:
        """Queue the refused devices of an ended bulk change for a new attempt. How they ended stays in the audit log.

        Raises:
            BulkChangeUnknownError: the tenant has none of that id.
            NotRetryableError: it is not PARTIAL or FAILED, is being settled, or has no device that a retry can help.
            DatabaseUnavailableError, CommitUnknownError, DatabaseRefusedError: as `Submission.submit`.

        """

        def look(tx: Connection) -> Retried:
            tenant = accounts.find_tenant(tx, tenant_name)
            change = bulk_changes.find(tx, bulk_change_id, tenant.id) if tenant else None
            if change is None:
                raise BulkChangeUnknownError(bulk_change_id)
            return _retry(tx, change, requested_by)

        return self._database.decide(look)


def _retry(tx: Connection, change: BulkChange, requested_by: str) -> Retried:
    if not bulk_changes.queue_again(tx, change.id):
        raise NotRetryableError(_why_not(change))
    taken_back = retries.take_back(tx, change.id)
    pending, held = taken_back.pending, taken_back.held
    if not pending:
        why = f"{held} devices are held by other bulk changes" if held else "no device was refused for such a reason"
        raise NotRetryableError(f"Bulk change {change.id} has nothing that a retry can help: {why}. Nothing was done.")
    audit.write(
        tx,
        AuditKind.RETRY_REQUESTED,
        tenant_id=change.tenant_id,
        actor=requested_by,
        outcome=BulkChangeStatus.QUEUED.value,
        service_provider_id=change.service_provider_id,
        bulk_change_id=change.id,
        reason=change.reason,
        message=change.message,
        request={"ended": change.status.value, "pending": pending, "held": held},
    )
    audit.write_endings(tx, change.id, requested_by)
    return Retried(change.id, pending, held)


def _why_not(change: BulkChange) -> str:
    if change.status in {BulkChangeStatus.PARTIAL, BulkChangeStatus.FAILED}:
        return f"Bulk change {change.id} is being settled just now. Nothing was done; try again in a minute."
    return f"Bulk change {change.id} is {change.status}; only PARTIAL and FAILED ones can be retried. Nothing was done."
