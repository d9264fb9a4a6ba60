"""An attempt that dies at any named point is followed by one that loses nothing and repeats nothing."""

from collections.abc import Mapping

import pytest

from m2m_pipeline_tests.faults.conftest import MakeField
from m2m_pipeline_tests.faults.crashes import ALL_POINTS, DEVICES, crash_everywhere
from m2m_pipeline_tests.faults.points import POINTS, resolve
from m2m_pipeline_tests.faults.verdict import Verdict

pytestmark = pytest.mark.xdist_group("crash points")


@pytest.mark.parametrize("name", POINTS)
def test_every_crash_point_is_a_function_of_the_product(name: str) -> None:
    owner, function = resolve(POINTS[name].function)

    assert callable(getattr(owner, function))


@pytest.fixture(scope="module", params=[1, 2], ids=["seed 1", "seed 2"])
def verdicts(make_field: MakeField, request: pytest.FixtureRequest) -> Mapping[str, Verdict]:
    """A change for each point, whose first attempt died there."""
    return crash_everywhere(make_field(len(ALL_POINTS), DEVICES), request.param)


@pytest.mark.parametrize("name", ALL_POINTS)
def test_whatever_died_at_a_point_every_device_ends_once_with_the_truth(
    verdicts: Mapping[str, Verdict], name: str
) -> None:
    assert verdicts[name].holds, f"{verdicts[name]}"
