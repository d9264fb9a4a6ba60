"""A pass that dies while it settles is followed by one that makes it good, and by nothing that is told twice."""

from collections.abc import Mapping

import pytest

from m2m_pipeline_tests.faults.conftest import MakeField
from m2m_pipeline_tests.faults.settlings import DEVICES, SETTLING_POINTS, settle_everywhere
from m2m_pipeline_tests.faults.verdict import Verdict

pytestmark = pytest.mark.xdist_group("settling")


@pytest.fixture(scope="module")
def verdicts(make_field: MakeField) -> Mapping[str, Verdict]:
    """A bulk change for each point, whose first settling died there."""
    return settle_everywhere(make_field(len(SETTLING_POINTS), DEVICES, outage_patience_seconds="0.5"))


@pytest.mark.parametrize("name", SETTLING_POINTS)
def test_wherever_a_pass_dies_what_was_unknown_is_settled_once_and_told_once(
    verdicts: Mapping[str, Verdict], name: str
) -> None:
    assert verdicts[name].holds, f"{verdicts[name]}"
