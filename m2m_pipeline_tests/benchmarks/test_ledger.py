"""What is computed from the carrier's ledger: the figures that say whether a limit was used, kept and shared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.ledger import most_in_a_second, share_used, slowest_share

_TICKS = st.lists(st.integers(0, 80), min_size=1, max_size=40)  # quarters of a second: exact as floats


@given(_TICKS)
def test_the_worst_second_is_the_worst_of_all_windows(ticks: list[int]) -> None:
    starts = [tick / 4 for tick in ticks]
    windows = [sum(begin / 4 <= start < begin / 4 + 1 for start in starts) for begin in range(81)]
    assert most_in_a_second(starts) == max(windows)


def test_a_call_exactly_a_second_later_is_in_the_next_window() -> None:
    assert most_in_a_second([0.0, 1.0]) == 1
    assert most_in_a_second([0.0, 0.999]) == 2


def test_even_calls_at_the_limit_use_all_of_it() -> None:
    assert share_used([n / 5 for n in range(451)], 5) == pytest.approx(1.0)
    assert share_used([n / 4 for n in range(451)], 5) == pytest.approx(0.8)


def test_runs_that_advance_alike_have_their_fair_share() -> None:
    assert slowest_share([[0.0, 1.0, 2.0]] * 4) == pytest.approx(1.0)


def test_the_share_of_a_starved_run_counts_only_the_time_that_all_runs_share() -> None:
    quick = [n / 10 for n in range(101)]
    slow = [0.0, 5.0, 10.0, 40.0, 50.0]
    assert slowest_share([quick, slow]) == pytest.approx(3 * 2 / 104)


def test_runs_one_after_the_other_share_nothing() -> None:
    assert slowest_share([[0.0, 1.0], [5.0, 6.0]]) == 0.0
