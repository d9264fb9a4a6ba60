"""The account goes more slowly where the carrier says that it is too much, and finds its way back."""

import pytest

from m2m_pipeline.domain.budget.adaptation import HOLD_SECONDS, pace, throttled
from m2m_pipeline.domain.budget.gate import Gate, Limits
from m2m_pipeline.domain.budget.turns import Grant, Wait
from m2m_pipeline_tests.domain.budget.account import grants


def test_a_refusal_at_the_limit_lets_everybody_rest_as_long_as_the_carrier_says() -> None:
    limits = Limits(5.0, 5)

    gate = throttled(Gate(), limits, 99.9, 100.0, retry_after=30.0)

    assert all(isinstance(answer, Wait) for answer in grants(gate, limits, [100.0, 115.0, 129.0]))
    assert isinstance(next(grants(gate, limits, [130.0])), Grant)


def test_several_refusals_in_one_moment_slow_the_account_down_once() -> None:
    limits = Limits(100.0, 5)
    gate = Gate()
    for _ in range(10):
        gate = throttled(gate, limits, 99.9, 100.0)

    assert pace(gate, limits, 100.0) == pytest.approx(70.0)


def test_the_rate_is_soon_where_it_was_too_much_lingers_there_and_then_goes_beyond() -> None:
    limits = Limits(100.0, 5)
    gate = throttled(throttled(Gate(), limits, 99.9, 100.0), limits, 101.0, 101.1)

    rates = [pace(gate, limits, 101.1 + HOLD_SECONDS + seconds) for seconds in (0, 7, 10, 17, 20, 29, 40, 60)]

    assert rates == pytest.approx([49.0, 67.7, 69.7, 70.4, 72.5, 100.0, 100.0, 100.0], abs=0.1)
