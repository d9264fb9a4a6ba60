"""A carrier that tightens its limit and lifts it again, in simulated time: it turns away what is too much."""

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2m_pipeline.domain.budget.adaptation import pace, throttled, withdrawn_before
from m2m_pipeline.domain.budget.breaker import SILENT_IN_A_ROW, Ending, heard
from m2m_pipeline.domain.budget.gate import SHARE_OF_THE_LIMIT, Gate, Limits
from m2m_pipeline.domain.budget.turns import AHEAD_SECONDS, TURN_SECONDS, Asking, Grant, Wait, ask

TOLD_AFTER = 0.02
"""Seconds from an answer until the account has heard of it."""

SETTLING = 20.0
"""Seconds in which a limit is learned."""

REFUSED_IN_TWO_MINUTES = 12
"""Calls that it costs to try now and then whether a limit, however low, has been lifted."""

LONGEST_TURN = TURN_SECONDS / SHARE_OF_THE_LIMIT


@dataclass
class Carrier:
    """Turns away each call that would be one too many in a second."""

    limit: float
    admitted: deque[float] = field(default_factory=deque[float])

    def admits(self, now: float) -> bool:
        while self.admitted and self.admitted[0] <= now - 1.0:
            self.admitted.popleft()
        if len(self.admitted) >= self.limit:
            return False
        self.admitted.append(now)
        return True


@dataclass
class Play:
    """Runs in processes of their own, which always want more calls; the account's gate, and the carrier behind it."""

    limits: Limits
    latency: tuple[float, float]
    runs: int
    gate: Gate = field(default_factory=Gate)
    now: float = 1000.0
    in_flight: int = 0
    calls: list[bool] = field(default_factory=list[bool])  # whether each was admitted

    def __post_init__(self) -> None:
        self.carrier = Carrier(self.limits.calls_per_second)
        self._rng = random.Random(1)  # noqa: S311 -- a reproducible play, not a secret
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()
        self._withdrawn = [0.0] * self.runs  # permits that a run was granted before are worth nothing
        for run in range(self.runs):
            self._at(self.now, self._ask, run)

    def _at(self, moment: float, what: Callable[..., None], *arguments: object) -> None:
        heapq.heappush(self._events, (moment, next(self._number), lambda: what(*arguments)))

    def play(self, seconds: float) -> list[bool]:
        """So many seconds; of each call that left in them, whether it was admitted."""
        before, until = len(self.calls), self.now + seconds
        while self._events[0][0] < until:
            self.now, _, happen = heapq.heappop(self._events)
            happen()
        self.now = until
        return self.calls[before:]

    def _ask(self, run: int) -> None:
        asking = Asking(f"run-{run}", 100)
        self.gate, answer = ask(self.gate, self.limits, asking, self.in_flight, self.now)
        self._look(run)
        if isinstance(answer, Wait):
            self._at(self.now + answer.seconds + self._rng.uniform(0, 0.01), self._ask, run)
            return
        self.in_flight += answer.calls
        for call in range(answer.calls):
            self._at(answer.first_at + call * answer.spacing, self._call, run, self.now)
        self._at(self.now + 0.005, self._ask, run)

    def _call(self, run: int, granted_at: float) -> None:
        if granted_at < self._withdrawn[run]:
            self.in_flight -= 1
            return
        admitted = self.carrier.admits(self.now)
        self.calls.append(admitted)
        self._at(self.now + self._rng.uniform(*self.latency), self._end, run, admitted, self.now)

    def _end(self, run: int, admitted: bool, left_at: float) -> None:
        self._at(self.now + TOLD_AFTER, self._tell, run, admitted, left_at)

    def _tell(self, run: int, admitted: bool, left_at: float) -> None:
        self.in_flight -= 1
        self.gate = heard(self.gate, self.limits, [Ending(silent=False)], self.now)
        if not admitted:
            self.gate = throttled(self.gate, self.limits, left_at, self.now)
        self._look(run)

    def _look(self, run: int) -> None:
        self._withdrawn[run] = max(self._withdrawn[run], withdrawn_before(self.gate, self.now))


QUICK, SLOW = (0.05, 0.3), (1.0, 3.0)


@pytest.mark.parametrize("runs", [1, 4])
@pytest.mark.parametrize(
    ("limits", "latency", "tightened"),
    [
        (Limits(500.0, 195), QUICK, 5.0),
        (Limits(100.0, 40), QUICK, 10.0),
        (Limits(50.0, 150), SLOW, 20.0),
        (Limits(5.0, 2), QUICK, 1.0),
    ],
    ids=["500 to 5", "100 to 10", "50 to 20, slow answers", "5 to 1"],
)
def test_a_tightened_limit_is_learned_and_used_and_one_that_is_lifted_is_found_again(
    limits: Limits, latency: tuple[float, float], tightened: float, runs: int
) -> None:
    play = Play(limits, latency, runs)
    before = play.play(10)

    play.carrier.limit = tightened
    play.play(SETTLING)
    learned = play.play(120)

    play.carrier.limit = limits.calls_per_second
    play.play(90)
    after = play.play(10)

    assert all(before)
    assert sum(learned) >= 0.8 * tightened * 120
    assert learned.count(False) <= max(0.02 * len(learned), REFUSED_IN_TWO_MINUTES)
    assert len(after) >= 0.9 * limits.calls_per_second * 10


PLAYS = st.lists(
    st.tuples(
        st.floats(0, 2),
        st.one_of(
            st.builds(Asking, st.sampled_from("abc"), st.integers(1, 300), st.booleans(), st.integers(0, 3)),
            st.builds(Ending, st.booleans(), st.booleans()),
            st.floats(0, 40),  # told to come back after so many seconds
        ),
    ),
    max_size=80,
)


@given(st.builds(Limits, st.sampled_from([1.0, 5.0, 15.0, 50.0, 500.0, 5000.0]), st.integers(1, 300)), PLAYS)
@settings(max_examples=200, deadline=None)
def test_whatever_was_heard_no_permit_lies_in_a_rest_or_further_ahead_than_a_turn(
    limits: Limits, steps: list[tuple[float, Asking | Ending | float]]
) -> None:
    gate, now, rests_until = Gate(), 1000.0, 0.0
    for later, step in steps:
        now += later
        match step:
            case Asking():
                gate, answer = ask(gate, limits, step, 0, now)
                if isinstance(answer, Grant):
                    last_at = answer.first_at + (answer.calls - 1) * answer.spacing
                    assert rests_until <= answer.first_at <= last_at <= now + AHEAD_SECONDS + LONGEST_TURN
            case Ending():
                gate = heard(gate, limits, [step], now)
            case retry_after:
                gate = throttled(gate, limits, now - 0.1, now, retry_after)
                rests_until = max(rests_until, now + retry_after)


def test_however_long_the_carrier_lets_the_account_rest_it_goes_on_at_the_lowered_rate() -> None:
    limits = Limits(100.0, 40)
    gate = throttled(Gate(), limits, 99.9, 100.0, retry_after=300.0)

    assert pace(gate, limits, 400.0) == pytest.approx(70.0)


def test_a_probe_is_not_granted_for_the_end_of_a_rest() -> None:
    limits = Limits(5.0, 5)
    silent = heard(Gate(), limits, [Ending(silent=True)] * SILENT_IN_A_ROW, 100.0)
    resting = throttled(silent, limits, 99.9, 100.0, retry_after=60.0)

    assert isinstance(ask(resting, limits, Asking("run", 1, probe=True), 0, 159.0)[1], Wait)
    assert isinstance(ask(resting, limits, Asking("run", 1, probe=True), 0, 160.0)[1], Grant)


def test_what_was_granted_before_trouble_is_withdrawn_and_what_was_granted_after_it_is_not() -> None:
    limits = Limits(5.0, 5)
    slowed = throttled(Gate(), limits, 99.9, 100.0)
    silent = heard(Gate(), limits, [Ending(silent=True)] * SILENT_IN_A_ROW, 100.0)

    assert withdrawn_before(Gate(), 100.0) <= 0
    assert withdrawn_before(slowed, 120.0) == 100.0
    assert withdrawn_before(silent, 120.0) == 120.0
    assert withdrawn_before(heard(silent, limits, [Ending(silent=False)], 121.0), 122.0) <= 0


def test_refusals_that_are_heard_late_slow_the_account_down_once_and_prolong_no_rest() -> None:
    """Calls that were under way when the first was heard of, however long the carrier took over them."""
    limits = Limits(100.0, 300)
    slowed = throttled(Gate(), limits, 99.0, 100.0)

    assert throttled(slowed, limits, 100.2, 104.0) == slowed
    assert pace(throttled(slowed, limits, 101.0, 104.0), limits, 104.0) < pace(slowed, limits, 101.0)
    later = throttled(slowed, limits, 100.2, 104.0, retry_after=5.0)
    assert (later.pace, later.next_call_at, withdrawn_before(later, 104.0)) == (slowed.pace, 109.0, 104.0)
