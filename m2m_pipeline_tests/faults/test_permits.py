"""What is asserted of an account's calls where a machine lets them come late: it lets no call pass without a permit."""

import pytest

from m2m_pipeline_tests.invariants import beyond_permits

RATE, IN_FLIGHT = 4.0, 5
SPACING = 1 / (RATE * 0.975)
PERMITS = [place * SPACING for place in range(40)]


@pytest.mark.parametrize("late", [0.0, 0.1, 0.9, 5.0])
@pytest.mark.parametrize(
    "which", [range(0), range(1), range(20, 25), range(35, 40)], ids=["none", "one", "five", "last"]
)
def test_calls_that_come_late_are_no_more_than_were_permitted(late: float, which: range) -> None:
    arrived = PERMITS[which[-1]] + late if which else 0.0
    starts = [arrived if place in which else moment for place, moment in enumerate(PERMITS)]

    assert list(beyond_permits(starts, RATE, IN_FLIGHT)) == []


@pytest.mark.parametrize("seconds", [2.0, 3.0])
def test_a_second_process_that_goes_by_a_budget_of_its_own_is_found_out(seconds: float) -> None:
    others = [moment + SPACING / 2 for moment in PERMITS if 4.0 <= moment <= 4.0 + seconds]

    assert list(beyond_permits([*PERMITS, *others], RATE, IN_FLIGHT))
