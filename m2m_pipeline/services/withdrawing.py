"""A person declines a bulk change that nobody has started: it ends, nothing was sent, and its devices are free."""

from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline.services.execution import finish
from m2m_pipeline.services.reporting import BulkChangeUnknownError, ResultDocument
from m2m_pipeline.storage import accounts, bulk_changes, details
from m2m_pipeline.storage.database import Database


class NotWithdrawableError(Exception):
    """A bulk change that cannot be declined, because it does not wait to be started."""


class Withdrawing:
    """The other answer to what waits for a person."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def withdraw(self, tenant_name: str, bulk_change_id: int, requested_by: str) -> ResultDocument:
        """End a NEW bulk change as REJECTED, and each of its open devices with it; how it ended.

        Raises:
            BulkChangeUnknownError: the tenant has none of that id.
            NotWithdrawableError: it is not NEW.

        """
        with self._database.begin() as tx:
            tenant = accounts.find_tenant(tx, tenant_name)
            change = bulk_changes.find(tx, bulk_change_id, tenant.id) if tenant else None
            if change is None:
                raise BulkChangeUnknownError(bulk_change_id)
            withdrawn = bulk_changes.withdraw(tx, change.id, f"Withdrawn by {requested_by}.")
            change = bulk_changes.find(tx, change.id)
            assert change is not None
            if not withdrawn:
                message = f"Bulk change {change.id} is {change.status}; only NEW ones can be withdrawn."
                raise NotWithdrawableError(f"{message} Nothing was done.")
            details.end_unsent(tx, change.id, ReasonCode.WITHDRAWN)
            return finish.end(tx, change, BulkChangeStatus.REJECTED, requested_by)
