"""An attempt from its claim to its end, against a carrier that behaves."""

import pytest

from m2m_pipeline.domain.accounts import VerifyMode
from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import COMM_NEW, COMM_OLD, NEW, OLD, World


def test_every_device_ends_on_the_new_plan_at_the_carrier_and_in_amop(world: World) -> None:
    document, evidence = world.submit_and_run()

    assert document.status is BulkChangeStatus.PROCESSED
    assert document.counts == {"PROCESSED": 3}
    assert {view.rate_plan for view in evidence.carrier.values()} == {NEW}
    assert set(evidence.amop.values()) == {(NEW, COMM_OLD)}
    check_all(evidence)
