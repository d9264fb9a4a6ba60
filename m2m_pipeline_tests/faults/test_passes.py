"""A pass that dies while it looks for drift or repairs it leaves what an undisturbed one leaves, and tells it once."""

from collections.abc import Mapping

import pytest

from m2m_pipeline.domain.accounts import DriftPolicy
from m2m_pipeline_tests.faults.conftest import MakeField
from m2m_pipeline_tests.faults.passes import CASES, DEVICES, REPAIR_POINTS, Left, pass_everywhere
from m2m_pipeline_tests.world import NEW, OLD

pytestmark = pytest.mark.xdist_group("passes")

MOVED, ELSEWHERE = [0, 1, 2, 3], [DEVICES - 2, DEVICES - 1]

Everything = Mapping[tuple[DriftPolicy, str | None], Left]


@pytest.fixture(scope="module")
def left(make_field: MakeField) -> Everything:
    """What is left of an account for each case, whose first pass died there, and of the undisturbed ones."""
    return pass_everywhere(make_field(len(CASES) + len(REPAIR_POINTS), DEVICES))


def test_an_undisturbed_pass_repairs_what_has_drifted_by_the_policy(left: Everything) -> None:
    followed, proposed = left[DriftPolicy.FOLLOW, None], left[DriftPolicy.PROPOSE, None]

    assert followed.amop == {place: NEW if place in MOVED else OLD for place in range(DEVICES)}
    assert (followed.repaired, followed.proposed) == (MOVED + ELSEWHERE, [])
    assert proposed.amop == {place: NEW if place in ELSEWHERE else OLD for place in range(DEVICES)}
    assert (proposed.repaired, sorted(proposed.proposed)) == ([], sorted([(OLD, MOVED), (NEW, ELSEWHERE)]))
    for one in (followed, proposed):
        assert (one.told, one.puts) == ([6], 0)


@pytest.mark.parametrize(("policy", "name"), CASES)
def test_wherever_a_pass_dies_drift_is_repaired_once_and_told_once(
    left: Everything, policy: DriftPolicy, name: str
) -> None:
    assert left[policy, name] == left[policy, None]
