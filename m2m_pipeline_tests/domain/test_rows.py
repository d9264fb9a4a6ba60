"""The rows of a request: each is recorded exactly once, and the first of several alike counts."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from m2m_pipeline.domain.rows import MAX_RECORDED_VALUE, requested_rows, row_problems

KNOWN = {f"89882167169700{number:05}": number for number in range(8)}
UNKNOWN = [f"8988216716971{number:06}" for number in range(1, 4)]
LINES = st.lists(
    st.one_of(st.sampled_from([*KNOWN, *UNKNOWN, "", "12", "8.98E+18", "x" * 300]), st.text(max_size=5)), max_size=40
)
HELD = st.dictionaries(st.sampled_from(sorted(KNOWN)), st.integers(1, 9), max_size=4)


def codes(lines: Sequence[str], held: dict[str, int] | None = None) -> list[tuple[int | None, str]]:
    return [(problem.row, problem.code.value) for problem in row_problems(lines, KNOWN, held or {})]


@given(LINES, HELD)
def test_every_row_is_recorded_exactly_once_in_its_place(lines: list[str], held: dict[str, int]) -> None:
    rows = requested_rows(lines, KNOWN, (), row_problems(lines, KNOWN, held))

    assert [row.row_number for row in rows] == list(range(1, len(lines) + 1))
    assert [row.iccid for row in rows] == [line[:MAX_RECORDED_VALUE] for line in lines]
    for row in rows:
        if row.status == "PENDING":
            assert row.reason is None
            assert row.device_id == KNOWN[row.iccid]
        else:
            assert row.status == ("SKIPPED" if row.reason == "DUPLICATE" else "REFUSED")
            assert row.reason
            assert row.message


@given(LINES, HELD)
def test_no_device_is_open_twice_and_the_first_row_wins(lines: list[str], held: dict[str, int]) -> None:
    rows = requested_rows(lines, KNOWN, (), row_problems(lines, KNOWN, held))
    pending = [row.iccid for row in rows if row.status == "PENDING"]

    assert len(set(pending)) == len(pending)
    assert set(pending) == (set(lines) & set(KNOWN)) - set(held)
    for row in rows:
        if row.status == "PENDING":
            assert lines.index(row.iccid) == row.row_number - 1


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
    duplicate, holder = row_problems([good, good, held], KNOWN, {held: 4711})
    assert "row 1" in duplicate.message
    assert "bulk change 4711" in holder.message
