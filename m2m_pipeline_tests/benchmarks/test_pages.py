"""Pages that nobody could open are no pages that opened in time."""

from collections.abc import Mapping, Sequence
from typing import cast

import pytest

from benchmarks.report import unmeasured
from benchmarks.scenarios import history
from benchmarks.targets import Figure


def look(case: str) -> list[history.Measurement]:
    """What the scenario says of the pages, wherever its databases are."""
    return list(history._look(cast("history._History", None), case, 1))


def test_without_a_browser_the_figure_is_missed_and_the_reason_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")

    def opened(*_: object) -> Mapping[str, Sequence[float]]:
        with history.browser("http://127.0.0.1:1"):
            return {}

    monkeypatch.setattr(history, "_opened", opened)

    assert Figure.CATALOG_PAGE in {target.figure for target in unmeasured(look("case"), ["history"])}
    assert "apt-get install chromium" in capsys.readouterr().err


def test_the_slowest_look_of_each_page_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: object) -> Mapping[str, Sequence[float]]:
        return {"runs": [0.5, 2.5, 0.6], "a run": [0.7]}

    monkeypatch.setattr(history, "_opened", opened)

    slowest = {one.case: (one.value, one.reached) for one in look("case") if one.figure == Figure.CATALOG_PAGE}

    assert slowest == {"case: runs": (2.5, False), "case: a run": (0.7, True)}
