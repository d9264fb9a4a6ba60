"""A run that wakes up after its lease has gone to another writes nothing and calls nobody."""

import pytest

from m2m_pipeline_tests.faults import zombies
from m2m_pipeline_tests.faults.conftest import MakeField

pytestmark = pytest.mark.xdist_group("zombies")


@pytest.mark.parametrize("place", [zombies.ANYWHERE, "inside the commit of outcomes"])
def test_a_run_that_was_stopped_beyond_its_lease_wakes_up_and_changes_nothing(
    make_field: MakeField, place: str
) -> None:
    verdict = zombies.wake_zombie(make_field(1, zombies.DEVICES), 1, place)

    assert verdict.holds, f"{verdict}"
