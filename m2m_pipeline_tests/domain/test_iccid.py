"""Which texts are an ICCID."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2m_pipeline.domain.iccid import iccid_problem, shortened, without_iccids

ICCID = "8988216716970000001"


@pytest.mark.parametrize("digits", [18, 19, 20, 21, 22])
def test_18_to_22_digits_are_an_iccid(digits: int) -> None:
    assert iccid_problem("8" * digits, 1) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8" * 17,
        "8" * 23,
        f"{ICCID}\n",
        f" {ICCID}",
        f"{ICCID[:-1]}F",
        f"+{ICCID}",
        f"-{ICCID}",
        "8988 2167 1697 0000 001",
        "٨٩٨٨٢١٦٧١٦٩٧٠٠٠٠٠٠١",
        "８９８８２１６７１６９７０００００１",  # noqa: RUF001 -- full-width digits are the point
        f"{ICCID}.0",
        "0x" + "8" * 18,
        "'; DROP TABLE m2m.device; --",
    ],
)
def test_anything_else_is_malformed(text: str) -> None:
    problem = iccid_problem(text, 7)
    assert problem is not None
    assert (problem.code, problem.row, problem.field) == ("ICCID_MALFORMED", 7, "iccid")


@pytest.mark.parametrize("text", ["8.98822E+18", "8,98822E+18", "8.98e18", "8E+18", "-8.9E+18", "8.98822e-5"])
def test_what_a_spreadsheet_rounded_is_told_as_such(text: str) -> None:
    problem = iccid_problem(text, 1)
    assert problem is not None
    assert problem.code == "ICCID_SPREADSHEET_DAMAGE"


@given(st.text())
def test_no_text_breaks_the_rule(text: str) -> None:
    problem = iccid_problem(text, 1)
    assert (problem is None) == (text.isascii() and text.isdigit() and 18 <= len(text) <= 22)
    if problem:
        assert len(problem.message) < 200


def test_a_message_calls_an_iccid_by_its_ends() -> None:
    assert shortened(ICCID) == "8988…0001"
    assert shortened("12") == "12"
    assert without_iccids(f'"{ICCID}", /devices/{ICCID}/history.') == '"8988…0001", /devices/8988…0001/history.'


@pytest.mark.parametrize("prose", ["bulk change 17", "2026-01-01T00:00:00", "1" * 17, "a" + "1" * 19, "1" * 23])
def test_what_is_no_iccid_is_left_in_the_prose(prose: str) -> None:
    assert without_iccids(prose) == prose
