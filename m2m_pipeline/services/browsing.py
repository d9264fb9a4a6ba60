"""What people and programs look at: lists by pages, how far a bulk change is, what became of a device."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection

from m2m_pipeline.domain.change import BulkChange
from m2m_pipeline.domain.iccid import shortened
from m2m_pipeline.domain.status import SETTLED_DEVICES, BulkChangeStatus, DeviceStatus
from m2m_pipeline.services.reporting import BulkChangeUnknownError
from m2m_pipeline.storage import accounts, bulk_changes, listings
from m2m_pipeline.storage.database import Database
from m2m_pipeline.storage.listings import ChangeFilter, ListedChange, ListedDevice, PastChange


class DeviceUnknownError(Exception):
    """The tenant has no such device."""

    def __init__(self, iccid: str) -> None:
        super().__init__(
            f'No device "{shortened(iccid)}" is in this tenant\'s inventory, or in any of its bulk changes. '
            "Trying again does not help; check the ICCID."
        )


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A bulk change as it was accepted: the same for as long as it exists."""

    id: int
    status: BulkChangeStatus  # NEW or QUEUED: how it was recorded, wherever it stands now
    provider: str
    rate_plan: str
    communication_plan: str | None
    effective_date: date | None
    batch_size: int
    priority: int
    requested_by: str
    devices: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a bulk change is, in devices."""

    id: int
    status: BulkChangeStatus
    counts: dict[DeviceStatus, int]
    carrier_calls: int
    started_at: datetime | None  # of the latest attempt

    @property
    def total(self) -> int:
        """All of its devices."""
        return sum(self.counts.values())

    @property
    def settled(self) -> int:
        """Those whose outcome is known for good."""
        return sum(self.counts.get(status, 0) for status in SETTLED_DEVICES)


def recorded_request(tx: Connection, change: BulkChange) -> RecordedRequest:
    """The bulk change as it was accepted, within a transaction of the caller."""
    request = bulk_changes.request_of(tx, change.id)
    return RecordedRequest(
        id=change.id,
        status=BulkChangeStatus.QUEUED if request["process_changes"] else BulkChangeStatus.NEW,
        provider=accounts.provider_of(tx, change.id).name,
        rate_plan=change.rate_plan,
        communication_plan=change.communication_plan,
        effective_date=change.effective_date,
        batch_size=change.batch_size,
        priority=change.priority,
        requested_by=change.requested_by,
        devices=int(str(request["device_count"])),
        created_at=change.created_at,
    )


class Browsing:
    """Reads, by tenant."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def recorded(self, tenant_name: str, bulk_change_id: int) -> RecordedRequest:
        """The bulk change as it was accepted.

        Raises:
            BulkChangeUnknownError: the tenant has none of that id.

        """
        with self._database.begin() as tx:
            return recorded_request(tx, self._find(tx, tenant_name, bulk_change_id))

    def changes(self, tenant_name: str, chosen: ChangeFilter, before: int | None, limit: int) -> Sequence[ListedChange]:
        """At most `limit` bulk changes of the tenant with an id below `before`, the latest first."""
        with self._database.begin() as tx:
            tenant = accounts.find_tenant(tx, tenant_name)
            return listings.list_changes(tx, tenant.id, chosen, before, limit) if tenant else []

    def devices(
        self, tenant_name: str, bulk_change_id: int, status: DeviceStatus | None, after: int, limit: int
    ) -> Sequence[ListedDevice]:
        """At most `limit` devices of a bulk change in row order, from the row after `after` on.

        Raises:
            BulkChangeUnknownError: the tenant has none of that id.

        """
        with self._database.begin() as tx:
            self._find(tx, tenant_name, bulk_change_id)
            return listings.list_devices(tx, bulk_change_id, status, after, limit)

    def history(self, tenant_name: str, iccid: str, before: int | None, limit: int) -> Sequence[PastChange]:
        """What became of a device in the tenant's bulk changes, the latest first.

        Raises:
            DeviceUnknownError: neither the inventory nor a bulk change of the tenant has it.

        """
        with self._database.begin() as tx:
            tenant = accounts.find_tenant(tx, tenant_name)
            found = listings.list_history(tx, tenant.id, iccid, before, limit) if tenant else []
            if tenant is None or not (found or before or listings.knows_device(tx, tenant.id, iccid)):
                raise DeviceUnknownError(iccid)
        return found

    def progress(self, tenant_name: str, bulk_change_id: int) -> Progress:
        """How far a bulk change is.

        Raises:
            BulkChangeUnknownError: the tenant has none of that id.

        """
        with self._database.begin() as tx:
            change = self._find(tx, tenant_name, bulk_change_id)
            counts = listings.count_by_status(tx, bulk_change_id)
        return Progress(change.id, change.status, counts, change.carrier_calls, change.started_at)

    @staticmethod
    def _find(connection: Connection, tenant_name: str, bulk_change_id: int) -> BulkChange:
        tenant = accounts.find_tenant(connection, tenant_name)
        change = bulk_changes.find(connection, bulk_change_id, tenant.id) if tenant else None
        if change is None:
            raise BulkChangeUnknownError(bulk_change_id)
        return change
