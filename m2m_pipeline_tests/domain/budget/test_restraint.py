"""What keeps an account from its configured rate is told, and nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from m2m_pipeline.domain.budget.adaptation import pace, throttled
from m2m_pipeline.domain.budget.breaker import SILENT_IN_A_ROW, Ending, heard
from m2m_pipeline.domain.budget.gate import PROBE_SECONDS, Gate, Limits
from m2m_pipeline.domain.budget.restraint import Restraint, restraint
from m2m_pipeline.domain.budget.turns import Asking, ask
from m2m_pipeline_tests.domain.budget.account import LIMITS


def test_what_restrains_an_account_is_told_as_long_as_it_does() -> None:
    limits = Limits(100.0, 5)
    slowed = throttled(throttled(Gate(), limits, 98.9, 99.0), limits, 99.6, 100.0, retry_after=12.0)

    told = restraint(slowed, limits, 110.0)
    assert (told.slowed_for, told.rests_for) == (10.0, 2.0)
    assert told.recovers_in is not None
    back_at = 110.0 + told.recovers_in
    assert pace(slowed, limits, back_at - 0.1) < 100.0 == pace(slowed, limits, back_at + 0.1)
    assert restraint(slowed, limits, back_at + 0.1) == Restraint()


@given(LIMITS, st.integers(1, 60))
def test_permits_that_are_out_are_no_rest(limits: Limits, calls: int) -> None:
    gate, _ = ask(Gate(), limits, Asking("run", min(calls, max(1, round(limits.calls_per_second / 10)))), 0, 100.0)

    assert restraint(gate, limits, 100.0) == Restraint()


def test_a_silent_carrier_is_told_since_when_and_until_the_next_probe() -> None:
    limits = Limits(5.0, 5)
    gate = heard(Gate(), limits, [Ending(silent=True)] * SILENT_IN_A_ROW, 100.0)
    probing, _ = ask(gate, limits, Asking("run", 1, probe=True), 0, 110.0)

    assert restraint(gate, limits, 104.0) == Restraint(open_for=4.0, probe_in=PROBE_SECONDS - 4.0)
    assert restraint(probing, limits, 113.0) == Restraint(open_for=13.0, probe_in=PROBE_SECONDS - 3.0)
