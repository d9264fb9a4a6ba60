"""The report: lines of JSON as they come, one table at the end, and the verdict."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table

from benchmarks.measurement import Measurement
from benchmarks.targets import TARGETS, Target

_LARGE, _WHOLE = 1000, 100
_QUERY = 140
"""Characters of a query that name it."""


def as_json(measurement: Measurement) -> str:
    """One line of JSON."""
    target = measurement.target
    return json.dumps(
        {
            "scenario": measurement.scenario,
            "case": measurement.case,
            "figure": str(measurement.figure),
            "value": measurement.value,
            "unit": measurement.unit,
            "target": str(target) if target else None,
            "reached": measurement.reached,
            "detail": {**measurement.detail, **(measurement.query.detail() if measurement.query else {})},
        }
    )


def unmeasured(measurements: Iterable[Measurement], scenarios: Iterable[str]) -> Sequence[Target]:
    """The targets of these scenarios for which there is no figure: a target that nothing measures is missed."""
    measured = {measurement.figure for measurement in measurements}
    wanted = set(scenarios)
    return [target for target in TARGETS if target.scenario in wanted and target.figure not in measured]


def verdict(measurements: Sequence[Measurement], scenarios: Iterable[str]) -> bool:
    """Whether every target of these scenarios is reached, in every case."""
    reached = all(measurement.reached is not False for measurement in measurements)
    return reached and not unmeasured(measurements, scenarios)


def print_head(out: TextIO, method: str, machine: Mapping[str, str], versions: Mapping[str, str]) -> None:
    """What was done, where and with what."""
    lines = (method, "Machine: " + _listed(machine), "Versions: " + _listed(versions))
    _console(out).print(*lines, sep="\n", end="\n\n", highlight=False)


def print_table(out: TextIO, measurements: Sequence[Measurement], scenarios: Sequence[str]) -> None:
    """Scenario, case, figure, value, target, reached; figures without a target explain those that have one."""
    table = Table(header_style="bold", pad_edge=False)
    for name in ("scenario", "case", "figure"):
        table.add_column(name, overflow="fold")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("target", no_wrap=True)
    table.add_column("reached", no_wrap=True)
    for one in measurements:
        target = str(one.target) if one.target else ""
        table.add_row(one.scenario, one.case, one.figure, shown(one.value, one.unit), target, _word(one.reached))
    for missing in unmeasured(measurements, scenarios):
        table.add_row(missing.scenario, "", missing.figure, "not measured", str(missing), _word(reached=False))
    _console(out).print(table)


def print_queries(out: TextIO, measurements: Iterable[Measurement]) -> None:
    """The slowest query behind each figure that has one, with its plan in short: the lines of JSON have it whole."""
    for one in measurements:
        if one.query:
            head = f"{one.scenario}, {one.case}, {one.figure}: slowest query {shown(one.query.milliseconds, 'ms')}"
            lines = (head, f"  {one.query.text[:_QUERY]}", *(f"    {step}" for step in one.query.steps()))
            _console(out).print(*lines, sep="\n", end="\n\n", highlight=False, markup=False, soft_wrap=True)


def shown(value: float, unit: str) -> str:
    """A value as the table shows it: three digits that count."""
    if float(value).is_integer() or value >= _LARGE:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.1f}" if abs(value) >= _WHOLE else f"{value:.3g}"
    return f"{text} {unit}".rstrip()


def _console(out: TextIO) -> Console:
    # In a file or a pipe, as wide as the table needs, not as a terminal that is not there.
    return Console(file=out, width=None if out.isatty() else 150)


def _listed(facts: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def _word(reached: bool | None) -> str:
    return "" if reached is None else "yes" if reached else "NO"
