"""One table of reasons: complete, worded for people, and without a word that nobody uses."""

from pathlib import Path

import pytest

import m2m_pipeline
from m2m_pipeline.domain.reasons import REASONS, ReasonCode

PACKAGE = Path(m2m_pipeline.__file__).parent


def test_every_code_has_its_reason_and_no_other() -> None:
    assert set(REASONS) == set(ReasonCode)
    assert all(code.name == code.value for code in ReasonCode)


@pytest.mark.parametrize("code", ReasonCode)
def test_a_reason_says_what_it_means_and_what_to_do(code: ReasonCode) -> None:
    reason = REASONS[code]
    assert reason.title
    assert not reason.title.endswith(".")
    assert reason.next_step.endswith(".")


def test_no_two_reasons_have_one_title() -> None:
    titles = [reason.title for reason in REASONS.values()]
    assert len(set(titles)) == len(titles)


def test_every_code_is_used_somewhere() -> None:
    sources = [file.read_text() for file in PACKAGE.rglob("*.py") if file.name != "reasons.py"]
    text = "\n".join(sources)
    assert [code.name for code in ReasonCode if f"ReasonCode.{code.name}" not in text] == []
