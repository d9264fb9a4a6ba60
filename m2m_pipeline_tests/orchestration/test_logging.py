"""Dagster's own logger goes past ours: no text reaches it but through the same redaction."""

import ast
import re
from pathlib import Path

import pytest

from m2m_pipeline import orchestration

MODULES = sorted(Path(str(orchestration.__file__)).parent.glob("*.py"))
LEVELS = {"log", "debug", "info", "warning", "error", "exception", "critical"}
ERASED = ast.dump(ast.Name("redacted", ast.Load()))


def unredacted(source: str) -> list[int]:
    """The lines of calls to `context.log` that tell a text which is neither our constant nor redacted."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    told = [call for call in calls if ast.unparse(call.func) in {f"context.log.{level}" for level in LEVELS}]
    return [call.lineno for call in told if not _is_safe(call)]


def _is_safe(call: ast.Call) -> bool:
    said, *values = call.args[1:] if ast.unparse(call.func) == "context.log.log" else call.args
    if isinstance(said, ast.Constant) and isinstance(said.value, str):
        kinds: list[str] = re.findall(r"%(\w)", said.value)
        return len(kinds) == len(values) and all(
            kind == "d" or _is_redacted(value) for kind, value in zip(kinds, values, strict=True)
        )
    return _is_redacted(said)


def _is_redacted(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and ast.dump(value.func) == ERASED


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_every_text_in_dagsters_log_is_redacted(module: Path) -> None:
    assert unredacted(module.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "call", ["info(text)", "info('%s', text)", "info(f'{text}')", "log(10, text)", "info('%d and %s', 1, str(text))"]
)
def test_a_text_that_is_not_redacted_is_noticed(call: str) -> None:
    assert unredacted(f"context.log.{call}") == [1]


def test_the_rule_looks_at_calls_that_there_are() -> None:
    assert sum("context.log." in module.read_text(encoding="utf-8") for module in MODULES) > 5
