"""How a bulk change ends: as its devices did."""

import pytest

from m2m_pipeline.domain.status import BulkChangeStatus, DeviceStatus
from m2m_pipeline.services.execution.finish import final_status


@pytest.mark.parametrize(
    ("counts", "status"),
    [
        ({}, "PROCESSED"),
        ({"PROCESSED": 3}, "PROCESSED"),
        ({"SKIPPED": 3}, "PROCESSED"),
        ({"PROCESSED": 1, "SKIPPED": 1}, "PROCESSED"),
        ({"PROCESSED": 1, "REFUSED": 1}, "PARTIAL"),
        ({"PROCESSED": 1, "UNCONFIRMED": 1}, "PARTIAL"),
        ({"PROCESSED": 1, "AMOP_FAILED": 1}, "PARTIAL"),
        ({"UNCONFIRMED": 1}, "PARTIAL"),
        ({"AMOP_FAILED": 1}, "PARTIAL"),
        ({"UNCONFIRMED": 1, "REFUSED": 5}, "PARTIAL"),
        ({"REFUSED": 5}, "FAILED"),
        ({"REFUSED": 5, "SKIPPED": 5}, "FAILED"),
        ({"REFUSED": 5, "SKIPPED": 5, "PROCESSED": 0}, "FAILED"),
    ],
    ids=str,
)
def test_the_end_of_a_bulk_change_follows_from_its_devices(counts: dict[str, int], status: str) -> None:
    assert final_status({DeviceStatus(name): count for name, count in counts.items()}) is BulkChangeStatus(status)
