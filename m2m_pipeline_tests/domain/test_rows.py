"""The rows of a request: each is recorded exactly once, and the first of several alike counts."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from m2m_pipeline.domain.problems import Problem
from m2m_pipeline.domain.rows import marked_rows, row_problems

KNOWN = [f"89882167169700{number:05}" for number in range(8)]
UNKNOWN = [f"8988216716971{number:06}" for number in range(1, 4)]
LINES = st.lists(
    st.one_of(st.sampled_from([*KNOWN, *UNKNOWN, "", "12", "8.98E+18", "x" * 300]), st.text(max_size=5)), max_size=40
)
HELD = st.dictionaries(st.sampled_from(sorted(KNOWN)), st.integers(1, 9), max_size=4)


def problems(lines: Sequence[str], held: dict[str, int] | None = None) -> list[Problem]:
    return row_problems(lines, set(lines) - set(KNOWN), held or {})


def codes(lines: Sequence[str], held: dict[str, int] | None = None) -> list[tuple[int | None, str]]:
    return [(problem.row, problem.code.value) for problem in problems(lines, held)]


@given(LINES, HELD)
def test_a_row_is_marked_once_with_its_reason_or_is_to_be_sent(lines: list[str], held: dict[str, int]) -> None:
    rows = marked_rows(lines, (), problems(lines, held))
    numbers = [row.row_number for row in rows]

    assert numbers == sorted(set(numbers))
    for row in rows:
        assert row.status == ("SKIPPED" if row.reason == "DUPLICATE" else "REFUSED")
        assert row.reason
        assert row.message


@given(LINES, HELD)
def test_no_device_is_open_twice_and_the_first_row_wins(lines: list[str], held: dict[str, int]) -> None:
    marked = {row.row_number for row in marked_rows(lines, (), problems(lines, held))}
    pending = {number: iccid for number, iccid in enumerate(lines, 1) if number not in marked}

    assert sorted(pending.values()) == sorted((set(lines) & set(KNOWN)) - set(held))
    assert all(lines.index(iccid) == number - 1 for number, iccid in pending.items())


@given(LINES, st.frozensets(st.sampled_from(KNOWN)))
def test_a_waiting_device_waits_in_its_first_row_alone(lines: list[str], waiting: frozenset[str]) -> None:
    waits = [row.row_number for row in marked_rows(lines, waiting, problems(lines)) if row.status == "WAITING"]
    assert waits == sorted(lines.index(iccid) + 1 for iccid in waiting & set(lines))


@given(LINES, HELD)
def test_a_row_has_at_most_one_problem(lines: list[str], held: dict[str, int]) -> None:
    rows = [row for row, _ in codes(lines, held)]
    assert len(set(rows)) == len(rows)
    assert rows == sorted(rows, key=lambda row: row or 0)


def test_the_faults_of_rows_as_a_table() -> None:
    good, held = sorted(KNOWN)[:2]
    assert codes([good, good, held, UNKNOWN[0], UNKNOWN[0], "", "8E+18"], {held: 4}) == [
        (2, "DUPLICATE"),
        (3, "OPEN_CHANGE"),
        (4, "NOT_IN_INVENTORY"),
        (5, "DUPLICATE"),
        (6, "ICCID_MALFORMED"),
        (7, "ICCID_SPREADSHEET_DAMAGE"),
    ]


def test_a_duplicate_names_the_row_that_counts_and_a_holder_its_bulk_change() -> None:
    good, held = sorted(KNOWN)[:2]
    duplicate, holder = problems([good, good, held], {held: 4711})
    assert "row 1" in duplicate.message
    assert "bulk change 4711" in holder.message
