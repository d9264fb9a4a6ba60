"""No more calls than the account allows, all of them used, and shared: whose turn it is."""

from dataclasses import replace
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2m_pipeline.domain.budget.adaptation import throttled
from m2m_pipeline.domain.budget.gate import Gate, Limits
from m2m_pipeline.domain.budget.turns import (
    AHEAD_SECONDS,
    GRACE_SECONDS,
    LEAD_SECONDS,
    Asking,
    Grant,
    Wait,
    ask,
    ask_ahead,
)
from m2m_pipeline_tests.domain.budget.account import LIMITS, Account, calls_in_any_second, grants


@given(LIMITS, st.lists(st.integers(1, 8), min_size=1, max_size=6), st.integers(1, 60), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_no_number_of_runs_exceeds_the_calls_a_second_or_the_calls_in_flight(
    limits: Limits, weights: list[int], group: int, seed: int
) -> None:
    runs = {f"run-{n}": weight for n, weight in enumerate(weights)}
    account = Account(limits, dict.fromkeys(runs, group), seed, runs)

    account.play(12)

    assert calls_in_any_second(account.moments) <= ceil(limits.calls_per_second)
    assert account.most_in_flight <= limits.in_flight


@pytest.mark.parametrize(
    ("rate", "in_flight", "group"),
    [(5.0, 2, 1), (5.0, 5, 1), (50.0, 20, 5), (50.0, 50, 5), (500.0, 195, 50), (500.0, 300, 50)],
)
@pytest.mark.parametrize("runs", [1, 4])
def test_the_budget_is_used_and_shared_evenly(rate: float, in_flight: int, group: int, runs: int) -> None:
    account = Account(Limits(rate, in_flight), {f"run-{n}": group for n in range(runs)})

    account.play(60)

    assert len(account.moments) >= 0.95 * rate * 60
    assert min(account.share.values()) >= 0.8 * len(account.moments) / runs


@pytest.mark.parametrize("weight", [2, 4, 8])
@pytest.mark.parametrize(
    ("rate", "in_flight", "group"), [(5.0, 1, 1), (5.0, 5, 1), (50.0, 5, 5), (50.0, 50, 5), (500.0, 300, 50)]
)
def test_a_run_gets_as_many_times_the_calls_as_it_has_weight_and_none_starves(
    rate: float, in_flight: int, group: int, weight: int
) -> None:
    runs = {"urgent": group, "ordinary": group, "another": group}
    account = Account(Limits(rate, in_flight), runs, weights={"urgent": weight})

    account.play(120)

    assert account.share["urgent"] / account.share["ordinary"] == pytest.approx(weight, rel=0.15)
    assert account.share["another"] / account.share["ordinary"] == pytest.approx(1.0, rel=0.15)


def test_a_run_with_weight_that_is_alone_gets_all_calls() -> None:
    account = Account(Limits(50.0, 50), {"urgent": 5}, weights={"urgent": 8})

    account.play(60)

    assert len(account.moments) >= 0.95 * 50 * 60


def test_a_run_that_does_not_come_back_for_the_rest_of_its_turns_costs_the_others_nothing() -> None:
    limits = Limits(50.0, 50)
    gate, granted = ask(Gate(), limits, Asking("urgent", 5, weight=8), 0, 1000.0)
    assert isinstance(granted, Grant)
    due = 1000.0 + LEAD_SECONDS + 5 * granted.spacing

    gate, waits = ask(gate, limits, Asking("ordinary", 5), 0, 1000.0 + GRACE_SECONDS / 2)
    _, passes = ask(gate, limits, Asking("ordinary", 5), 0, 1000.0 + GRACE_SECONDS)

    assert isinstance(waits, Wait)
    assert isinstance(passes, Grant)
    assert passes.first_at == pytest.approx(due)


def test_who_asks_ahead_has_its_turn_before_those_who_ask_later() -> None:
    limits, now = Limits(50.0, 50), 1000.0
    one, other = Asking("one", 5), Asking("other", 5)
    gate, granted = ask(Gate(), limits, one, 0, now)
    assert isinstance(granted, Grant)
    gate = replace(gate, next_call_at=gate.next_call_at + AHEAD_SECONDS)  # others have been granted as much
    gate, wait = ask_ahead(gate, limits, one, granted, 0, now=now)
    gate, longer = ask(gate, limits, other, granted.places, now)

    assert isinstance(wait, Wait)
    assert isinstance(longer, Wait)
    assert longer.seconds == pytest.approx(wait.seconds + 5 * granted.spacing)
    gate, first = ask(gate, limits, other, granted.places, now + wait.seconds)
    assert isinstance(first, Wait)
    _, second = ask(gate, limits, one, granted.places, now + wait.seconds)
    assert isinstance(second, Grant)


def test_who_asks_ahead_where_more_could_be_had_at_once_takes_nothing() -> None:
    limits, asking = Limits(50.0, 50), Asking("one", 5)
    gate, granted = ask(Gate(), limits, asking, 0, 1000.0)
    assert isinstance(granted, Grant)

    assert ask_ahead(gate, limits, asking, granted, 0, now=1000.0) == (gate, None)


def test_a_run_that_died_in_the_queue_does_not_hold_the_others_up() -> None:
    account = Account(Limits(50.0, 50), {"alive": 5, "dead": 5}, dead=frozenset({"dead"}))

    account.play(30)

    assert account.share["alive"] >= 0.9 * 50 * 30


def test_a_permit_never_lies_far_in_the_future() -> None:
    gate = Gate(next_call_at=100.0)

    (answer,) = grants(gate, Limits(5.0, 1), [100.0 - 2 * AHEAD_SECONDS])

    assert isinstance(answer, Wait)
    assert answer.seconds == pytest.approx(AHEAD_SECONDS)


AMPLE = Limits(calls_per_second=1000, in_flight=10)
"""Places are what is scarce: ten calls in flight come nowhere near a thousand calls in a second."""


def ask_in_full(limits: Limits, gate: Gate | None = None, held: int = 10) -> Grant | Wait:
    """What a run gets that has `held` places, while all of the account's are taken."""
    asking = Asking("run", 10, held=held)
    return ask(gate or Gate(), limits, asking, limits.in_flight, 1000.0)[1]


def test_where_calls_are_plenty_a_run_goes_on_in_the_places_that_it_has() -> None:
    answer = ask_in_full(AMPLE)
    assert isinstance(answer, Grant)
    assert (answer.calls, answer.places) == (10, 0)


def test_a_run_without_a_place_waits_for_one() -> None:
    assert isinstance(ask_in_full(AMPLE, held=0), Wait)


def test_a_run_leaves_its_places_to_others_that_wait_for_them() -> None:
    full, waits = ask(Gate(), AMPLE, Asking("another", 10), AMPLE.in_flight, 999.9)
    assert isinstance(waits, Wait)
    assert isinstance(ask_in_full(AMPLE, full), Wait)


def test_a_run_leaves_its_places_where_fewer_are_allowed_than_it_was_given() -> None:
    answer = ask(Gate(), AMPLE, Asking("run", 10, held=12), 12, 1000.0)[1]
    assert isinstance(answer, Wait)


@pytest.mark.parametrize("rate", [5, 50, 500, 999])
def test_where_calls_that_wait_for_places_could_exceed_the_limit_none_waits(rate: float) -> None:
    assert isinstance(ask_in_full(Limits(rate, in_flight=10)), Wait)


def test_after_the_carrier_lowered_the_rate_no_call_waits_for_a_place() -> None:
    assert isinstance(ask_in_full(AMPLE, throttled(Gate(), AMPLE, 989.9, 990.0)), Wait)
