"""A problem as people and programs see it."""

from m2m_pipeline.domain.problems import SHOWN_VALUE_LENGTH, Problem, RequestRejectedError, shown
from m2m_pipeline.domain.reasons import ReasonCode

PROBLEM = Problem(ReasonCode.ICCID_MALFORMED, "x is no ICCID.", "iccid", "x", 3)


def test_a_problem_in_words_names_its_row_and_what_to_do() -> None:
    assert str(PROBLEM).startswith("row 3: x is no ICCID. Write the 18 to 22 digits")


def test_a_problem_as_json_has_everything_that_a_program_needs() -> None:
    assert PROBLEM.as_dict() == {
        "code": "ICCID_MALFORMED",
        "message": "x is no ICCID.",
        "field": "iccid",
        "value": "x",
        "row": 3,
        "reason": "malformed ICCID",
        "next_step": PROBLEM.next_step,
    }


def test_a_long_value_is_cut_and_never_echoed_whole() -> None:
    assert shown("x" * 1000) == "x" * SHOWN_VALUE_LENGTH + "…"
    assert shown("x" * SHOWN_VALUE_LENGTH) == "x" * SHOWN_VALUE_LENGTH


def test_an_error_with_many_problems_keeps_all_and_says_a_few() -> None:
    error = RequestRejectedError([PROBLEM] * 1000)
    assert len(error.problems) == 1000
    assert len(str(error)) < 1000
