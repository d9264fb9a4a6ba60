"""docs/old-system-bugs.md names, for each bug of the old system, the test that shows that we do not have it."""

import ast
import re
from pathlib import Path

import m2m_pipeline

ROOT = Path(m2m_pipeline.__file__).parent.parent
ROW = re.compile(r"^\| (\d+) \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)
NAMED_TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")
BUGS = 16

TABLE = (ROOT / "docs" / "old-system-bugs.md").read_text(encoding="utf-8")


def test_every_bug_of_the_old_system_is_shown_or_its_later_part_is_named() -> None:
    rows = ROW.findall(TABLE)

    assert [int(number) for number, *_ in rows] == list(range(1, BUGS + 1))
    for *_, shown in rows:
        assert NAMED_TEST.search(shown) or "covered by a later part: " in shown


def test_every_test_that_the_table_names_exists() -> None:
    missing = [f"{path}::{name}" for path, name in NAMED_TEST.findall(TABLE) if name not in functions_of(path)]

    assert not missing


def functions_of(path: str) -> set[str]:
    """The test functions of a file below m2m_pipeline_tests."""
    file = ROOT / "m2m_pipeline_tests" / path
    if not file.exists():
        return set()
    functions = ast.parse(file.read_text(encoding="utf-8")).body
    return {node.name for node in functions if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
