"""When an account stops calling a carrier that does not answer, and when it goes on."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from m2m_pipeline.domain.budget.breaker import SILENT_IN_A_ROW, Ending, heard, is_away
from m2m_pipeline.domain.budget.gate import PROBE_SECONDS, Gate, Limits
from m2m_pipeline.domain.budget.turns import Asking, Grant, Wait, ask
from m2m_pipeline_tests.domain.budget.account import grants

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
