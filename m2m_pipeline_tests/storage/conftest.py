"""A migrated database with two tenants, each with one provider and three devices of the same ICCIDs."""

from collections.abc import Generator
from dataclasses import dataclass

import pytest
from sqlalchemy import Connection, text

from m2m_pipeline.domain.accounts import ServiceProvider
from m2m_pipeline.domain.attempt import Attempt
from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.storage import accounts, bulk_changes, device_changes, inventory, leases
from m2m_pipeline.storage.bulk_changes import NewBulkChange
from m2m_pipeline.storage.database import Database
from m2m_pipeline_tests.world import iccids

ICCIDS = iccids(3)


@dataclass(frozen=True)
class Stock:
    """What the tests of storage start from."""

    database: Database
    ours: ServiceProvider
    theirs: ServiceProvider

    def record(self, rows: int = 3, *, first: int = 0, provider: ServiceProvider | None = None) -> int:
        """A queued bulk change over `rows` devices."""
        provider = provider or self.ours
        with self.database.begin() as tx:
            new = NewBulkChange(
                tenant_id=provider.tenant_id,
                service_provider_id=provider.id,
                rate_plan="New",
                communication_plan=None,
                effective_date=None,
                batch_size=10,
                priority=0,
                requested_by="tester",
                request={},
                request_digest="d",
                idempotency_key=None,
            )
            bulk_change_id = bulk_changes.insert(tx, new)
            change = bulk_changes.find(tx, bulk_change_id)
            assert change is not None
            chosen = ICCIDS[first : first + rows]
            device_changes.insert_rows(tx, change, chosen, [])
            assert bulk_changes.queue(tx, bulk_change_id)
        return bulk_change_id

    def claim(self, bulk_change_id: int, owner: str = "run-1", seconds: float = 60.0) -> Attempt | None:
        with self.database.begin() as tx:
            return leases.claim(tx, bulk_change_id, owner, seconds)

    def expire(self, bulk_change_id: int) -> None:
        with self.database.begin() as tx:
            tx.execute(
                text("UPDATE m2m.bulk_change SET lease_expires_at = clock_timestamp() - interval '1 s' WHERE id = :id"),
                {"id": bulk_change_id},
            )

    def ids(self, bulk_change_id: int) -> list[int]:
        """The device changes in row order."""
        return [int(str(value)) for value in self.column("id", bulk_change_id)]

    def statuses(self, bulk_change_id: int) -> list[str]:
        return [str(value) for value in self.column("status", bulk_change_id)]

    def column(self, name: str, bulk_change_id: int) -> list[object]:
        with self.database.begin() as tx:
            return list(
                tx.execute(
                    text(f"SELECT {name} FROM m2m.device_change WHERE bulk_change_id = :id ORDER BY row_number"),
                    {"id": bulk_change_id},
                ).scalars()
            )


@pytest.fixture
def stock(database_url: str) -> Generator[Stock]:
    database = Database(database_url)
    with database.begin() as tx:
        ours, theirs = _provider(tx, "acme"), _provider(tx, "rival")
    yield Stock(database, ours, theirs)
    database.dispose()


def _provider(tx: Connection, tenant_name: str) -> ServiceProvider:
    tenant = accounts.ensure_tenant(tx, tenant_name)
    accounts.insert_provider(tx, tenant.id, "att", "POD19", "https://carrier.example")
    provider = accounts.find_provider(tx, tenant.id, name="att")
    assert provider is not None
    inventory.store_devices(tx, provider, [DeviceReading(iccid, "Old", "Comm") for iccid in ICCIDS])
    return provider
