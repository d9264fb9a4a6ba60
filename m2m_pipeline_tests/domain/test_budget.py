"""The budget of a carrier account, played through in simulated time."""

import heapq
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2m_pipeline.domain.budget import (
    AHEAD_SECONDS,
    GRACE_SECONDS,
    HOLD_SECONDS,
    LEAD_SECONDS,
    PROBE_SECONDS,
    SILENT_IN_A_ROW,
    Asking,
    Ending,
    Gate,
    Grant,
    Limits,
    Wait,
    ask,
    heard,
    is_away,
    pace,
    throttled,
)
from m2m_pipeline.domain.restraint import Restraint, restraint


@dataclass
class Account:
    """Runs that always want more calls, in a time that only moves from event to event."""

    limits: Limits
    groups: dict[str, int]
    seed: int = 0
    weights: dict[str, int] = field(default_factory=dict[str, int])  # 1 where none is named
    latency: tuple[float, float] = (0.05, 0.3)
    gate: Gate = field(default_factory=Gate)
    now: float = 1000.0
    moments: list[float] = field(default_factory=list[float])
    share: Counter[str] = field(default_factory=Counter[str])
    most_in_flight: int = 0
    dead: frozenset[str] = frozenset()

    def play(self, seconds: float) -> None:
        rng = random.Random(self.seed)  # noqa: S311 -- a reproducible play, not a secret
        events = [(self.now, number, name) for number, name in enumerate(self.groups)]
        places: dict[str, list[float]] = {name: [] for name in self.groups}  # when the last call in each will end
        number = len(events)
        until = self.now + seconds
        while events and events[0][0] < until:
            self.now, _, name = heapq.heappop(events)
            places = {run: [end for end in ends if end > self.now] for run, ends in places.items()}
            own = places[name]
            asking = Asking(name, self.groups[name], held=len(own), weight=self.weights.get(name, 1))
            self.gate, answer = ask(self.gate, self.limits, asking, sum(map(len, places.values())), self.now)
            back_at = self.now + 0.005
            if isinstance(answer, Wait):
                back_at = self.now + answer.seconds + rng.uniform(0, 0.01)
            else:
                for call in range(answer.calls):
                    moment = answer.first_at + call * answer.spacing
                    if call >= answer.places:  # it follows in the place of the run that is free first
                        first_free = min(own)
                        own.remove(first_free)
                        moment = max(moment, first_free)
                    own.append(moment + rng.uniform(*self.latency))
                    self.moments.append(moment)
                self.share[name] += answer.calls
            self.most_in_flight = max(self.most_in_flight, sum(map(len, places.values())))
            number += 1
            if name not in self.dead:
                heapq.heappush(events, (back_at, number, name))


def calls_in_any_second(moments: list[float]) -> int:
    ordered = sorted(moments)
    first = most = 0
    for last, moment in enumerate(ordered):
        while ordered[first] <= moment - 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


LIMITS = st.builds(Limits, st.sampled_from([1.0, 5.0, 7.5, 50.0, 500.0, 5000.0]), st.integers(1, 300))


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


def test_a_run_that_died_in_the_queue_does_not_hold_the_others_up() -> None:
    account = Account(Limits(50.0, 50), {"alive": 5, "dead": 5}, dead=frozenset({"dead"}))

    account.play(30)

    assert account.share["alive"] >= 0.9 * 50 * 30


def grants(gate: Gate, limits: Limits, times: list[float], *, probe: bool = False) -> Iterator[Grant | Wait]:
    for now in times:
        gate, answer = ask(gate, limits, Asking("run", 1, probe), 0, now)
        yield answer


def test_a_permit_never_lies_far_in_the_future() -> None:
    gate = Gate(next_call_at=100.0)

    (answer,) = grants(gate, Limits(5.0, 1), [100.0 - 2 * AHEAD_SECONDS])

    assert isinstance(answer, Wait)
    assert answer.seconds == pytest.approx(AHEAD_SECONDS)


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


SILENT, ANSWERED = Ending(silent=True), Ending(silent=False)
LOST, CHANGED = Ending(silent=True, change=True), Ending(silent=False, change=True)


def test_the_breaker_opens_after_calls_in_a_row_without_an_answer() -> None:
    limits = Limits(5.0, 5)

    almost = heard(Gate(), limits, [SILENT] * (SILENT_IN_A_ROW - 1), 100.0)
    opened = heard(almost, limits, [SILENT], 100.0)

    assert almost.probe_at is None
    assert opened.probe_at == 100.0 + PROBE_SECONDS


def test_the_breaker_opens_when_most_calls_get_no_answer() -> None:
    limits = Limits(5.0, 5)

    assert heard(Gate(), limits, [*[SILENT, SILENT, ANSWERED] * 4, SILENT, SILENT], 100.0).probe_at is not None


def test_trouble_with_one_call_in_five_does_not_open_the_breaker() -> None:
    limits = Limits(5.0, 5)

    assert heard(Gate(), limits, [SILENT, *[ANSWERED] * 4] * 40, 100.0).probe_at is None


def test_an_open_breaker_lets_one_probe_through_in_ten_seconds_and_no_change() -> None:
    limits = Limits(5.0, 5)
    gate = heard(Gate(), limits, [SILENT] * SILENT_IN_A_ROW, 100.0)
    times = [100.0 + tenth / 10 for tenth in range(350)]

    probes = [
        now
        for now, answer in zip(times, grants(gate, limits, times, probe=True), strict=True)
        if isinstance(answer, Grant)
    ]
    changes = [answer for answer in grants(gate, limits, times) if isinstance(answer, Grant)]

    assert probes == [110.0, 120.0, 130.0]
    assert changes == []


def test_a_probe_does_not_leave_beside_calls_that_the_carrier_may_be_at() -> None:
    limits = Limits(5.0, 5)
    gate = heard(Gate(), limits, [SILENT] * SILENT_IN_A_ROW, 100.0)

    gate, answer = ask(gate, limits, Asking("run", 1, probe=True), 1, 110.0)
    _, later = ask(gate, limits, Asking("run", 1, probe=True), 0, 111.0)

    assert isinstance(answer, Wait)
    assert answer.open_
    assert isinstance(later, Grant)


@given(st.lists(st.tuples(st.floats(0, 60), st.floats(0, 30)), max_size=60), st.floats(0.1, 50))
def test_probes_of_any_number_of_runs_are_one_at_a_time_and_keep_their_distance(
    asked: list[tuple[float, float]], rest: float
) -> None:
    """Each asks after a while; the probe, if it is given one, stays silent for so many seconds."""
    limits = Limits(5.0, 5)
    gate = heard(Gate(next_call_at=100.0 + rest), limits, [SILENT] * SILENT_IN_A_ROW, 100.0)
    probes: list[tuple[float, float]] = []  # when each began and ended
    now = 100.0
    for number, (later, silent_for) in enumerate(asked):
        now += later
        out = [end for _, end in probes if end > now]
        gate = heard(gate, limits, [SILENT] * (len(probes) - len(out)), now)
        gate, answer = ask(gate, limits, Asking(f"run-{number}", 5, probe=True), len(out), now)
        if isinstance(answer, Grant):
            assert answer.calls == 1
            probes.append((answer.first_at, answer.first_at + silent_for))

    for (began, ended), (next_began, _) in pairwise(probes):
        assert next_began >= ended
        assert next_began - began >= PROBE_SECONDS


def test_changes_that_are_lost_open_the_breaker_whatever_reads_are_answered_between_them() -> None:
    limits = Limits(5.0, 5)
    almost = heard(Gate(), limits, [LOST, ANSWERED, ANSWERED] * (SILENT_IN_A_ROW - 1), 100.0)

    assert (almost.probe_at, is_away(almost)) == (None, False)
    assert heard(almost, limits, [LOST], 100.0).probe_at is not None
    assert heard(almost, limits, [CHANGED, LOST], 100.0).probe_at is None


def test_a_read_closes_the_breaker_and_the_next_change_that_is_lost_opens_it_again() -> None:
    limits = Limits(5.0, 5)
    closed = heard(heard(Gate(), limits, [LOST] * SILENT_IN_A_ROW, 100.0), limits, [ANSWERED], 110.0)

    assert closed.probe_at is None
    assert is_away(closed)
    assert heard(closed, limits, [ANSWERED, SILENT, LOST], 111.0).probe_at == 111.0 + PROBE_SECONDS


def test_a_change_that_is_answered_ends_the_doubt_about_changes() -> None:
    limits = Limits(5.0, 5)
    closed = heard(heard(Gate(), limits, [LOST] * SILENT_IN_A_ROW, 100.0), limits, [ANSWERED, CHANGED], 110.0)

    assert not is_away(closed)
    assert heard(closed, limits, [LOST] * (SILENT_IN_A_ROW - 1), 111.0).probe_at is None


def test_an_outage_of_changes_alone_lasts_from_its_first_opening_until_a_change_is_answered() -> None:
    limits = Limits(5.0, 5)
    opened = heard(Gate(), limits, [LOST] * SILENT_IN_A_ROW, 100.0)
    closed = heard(opened, limits, [ANSWERED], 110.0)
    reopened = heard(closed, limits, [LOST], 111.0)

    assert [gate.open_since for gate in (opened, closed, reopened)] == [100.0] * 3
    assert (reopened.probe_at, reopened.lost_at) == (111.0 + PROBE_SECONDS, 111.0)
    assert heard(reopened, limits, [ANSWERED, CHANGED], 121.0).open_since is None


def test_an_outage_that_began_with_all_calls_and_is_one_of_changes_is_one_outage() -> None:
    limits = Limits(5.0, 5)
    opened = heard(Gate(), limits, [LOST, *[SILENT] * (SILENT_IN_A_ROW - 1)], 100.0)
    closed = heard(opened, limits, [ANSWERED], 110.0)

    assert is_away(closed)
    assert heard(closed, limits, [LOST] * SILENT_IN_A_ROW, 111.0).open_since == 100.0


def test_reads_that_are_lost_now_and_then_leave_no_doubt_about_changes() -> None:
    limits = Limits(5.0, 5)

    assert not is_away(heard(Gate(), limits, [SILENT, ANSWERED, ANSWERED] * 40, 100.0))


def test_the_first_answer_closes_the_breaker() -> None:
    limits = Limits(5.0, 5)
    gate = heard(Gate(), limits, [SILENT] * SILENT_IN_A_ROW, 100.0)

    closed = heard(heard(gate, limits, [SILENT], 110.0), limits, [ANSWERED], 120.0)

    assert (closed.probe_at, closed.open_since) == (None, None)
    assert isinstance(next(grants(closed, limits, [120.0])), Grant)


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
    gate = heard(Gate(), limits, [SILENT] * SILENT_IN_A_ROW, 100.0)
    probing, _ = ask(gate, limits, Asking("run", 1, probe=True), 0, 110.0)

    assert restraint(gate, limits, 104.0) == Restraint(open_for=4.0, probe_in=PROBE_SECONDS - 4.0)
    assert restraint(probing, limits, 113.0) == Restraint(open_for=13.0, probe_in=PROBE_SECONDS - 3.0)


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
