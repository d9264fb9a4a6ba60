"""Devices counted by how they stand, with examples of what went wrong."""

from collections.abc import Sequence

from m2m_pipeline.domain.change import MarkedRow
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.status import DeviceStatus
from m2m_pipeline.storage import bulk_changes, device_changes, tallies
from m2m_pipeline_tests.storage.conftest import Stock
from m2m_pipeline_tests.world import iccids


def record(stock: Stock, marked: Sequence[MarkedRow]) -> int:
    """A bulk change of ten rows."""
    bulk_change_id = stock.record(0)
    with stock.database.begin() as tx:
        change = bulk_changes.find(tx, bulk_change_id)
        assert change is not None
        device_changes.insert_rows(tx, change, iccids(10), marked)
    return bulk_change_id


def refused(row: int, reason: ReasonCode) -> MarkedRow:
    return MarkedRow(row, DeviceStatus.REFUSED, reason, f"what is wrong with row {row}")


def test_devices_that_stand_alike_are_counted_with_the_first_five_of_each_reason(stock: Stock) -> None:
    common = [refused(row, ReasonCode.CARRIER_REFUSED) for row in (9, 2, 3, 5, 7, 4)]
    bulk_change_id = record(stock, [*common, refused(8, ReasonCode.NOT_IN_INVENTORY)])
    with stock.database.of_tenant(stock.ours.tenant_id).begin() as tx:
        found = tallies.tally(tx, bulk_change_id)
    devices = iccids(10)
    assert [(one.status, one.reason, one.count, one.examples, one.message) for one in found] == [
        (
            "REFUSED",
            "CARRIER_REFUSED",
            6,
            tuple(devices[row - 1] for row in (2, 3, 4, 5, 7)),
            "what is wrong with row 2",
        ),
        ("PENDING", None, 3, (), None),
        ("REFUSED", "NOT_IN_INVENTORY", 1, (devices[7],), "what is wrong with row 8"),
    ]
