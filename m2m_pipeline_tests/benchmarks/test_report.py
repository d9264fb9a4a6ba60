"""The report: no target can be missed without a word."""

import io
import json
from pathlib import Path

from benchmarks.measurement import Measurement
from benchmarks.report import as_json, print_table, unmeasured, verdict
from benchmarks.scenarios import SCENARIOS
from benchmarks.targets import TARGETS, Figure, Target

_DOCUMENT = Path(__file__).parents[2] / "docs" / "performance.md"


def _measured(target: Target, value: float) -> Measurement:
    return Measurement(target.scenario, "case", target.figure, value)


def _all_reached() -> list[Measurement]:
    return [_measured(target, target.limit + {"≥": 1, "≤": 0, "<": -1}[target.bound]) for target in TARGETS]


def test_every_target_belongs_to_a_scenario_and_every_scenario_has_one() -> None:
    assert {target.scenario for target in TARGETS} == set(SCENARIOS)
    assert {target.figure for target in TARGETS} == set(Figure)


def test_one_missed_case_misses_the_target() -> None:
    assert verdict(_all_reached(), SCENARIOS)
    worse = {"≥": -0.01, "≤": 0.01, "<": 0.0}
    for target in TARGETS:
        missed = _measured(target, target.limit + worse[target.bound])
        assert not verdict([*_all_reached(), missed], SCENARIOS)


def test_a_target_without_a_figure_is_missed_where_its_scenario_was_asked_for() -> None:
    reaction = next(target for target in TARGETS if target.scenario == "reaction")
    assert unmeasured([], ["reaction"]) == [reaction]
    assert not verdict([], ["reaction"])
    assert verdict([_measured(reaction, 0.0)], ["reaction"])


def test_a_figure_without_a_target_decides_nothing() -> None:
    extra = Measurement("growth", "1,000 devices", "submission", 1e9, "s")
    assert extra.reached is None
    assert verdict([*_all_reached(), extra], SCENARIOS)


def test_the_table_names_what_is_missed_and_what_is_missing() -> None:
    reaction = next(target for target in TARGETS if target.scenario == "reaction")
    out = io.StringIO()
    print_table(out, [_measured(reaction, 18.3)], ["reaction", "fairness"])
    lines = out.getvalue().splitlines()
    assert any("18.3" in line and "≤ 7 s" in line and "NO" in line for line in lines)
    assert any(line.startswith("│fairness") and "not measured" in line and "NO" in line for line in lines)


def test_a_line_of_json_holds_the_figure_its_target_and_its_detail() -> None:
    share = Measurement("budget", "50/s", Figure.BUDGET_SHARE, 0.97, "", {"calls": 4500})
    assert json.loads(as_json(share)) == {
        "scenario": "budget",
        "case": "50/s",
        "figure": "share of the allowed calls used",
        "value": 0.97,
        "unit": "",
        "target": "≥ 0.95",
        "reached": True,
        "detail": {"calls": 4500},
    }


def test_the_documents_table_is_the_table_of_targets() -> None:
    rows = [
        line.split("|")[1:4] for line in _DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| `")
    ]
    told = [tuple(cell.strip() for cell in row) for row in rows]
    assert told == [(f"`{target.scenario}`", target.figure, str(target)) for target in TARGETS]
