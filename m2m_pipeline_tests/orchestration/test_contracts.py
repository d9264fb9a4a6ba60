"""What the documents draw and the configuration forbids, held against the code."""

import re
import subprocess
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import m2m_pipeline
from m2m_pipeline.domain.status import BULK_CHANGE_TRANSITIONS, DEVICE_TRANSITIONS

_Status = TypeVar("_Status", bound=StrEnum)
ROOT = Path(m2m_pipeline.__file__).parent.parent


def test_dependencies_point_inwards() -> None:
    lint = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert lint.returncode == 0, lint.stdout


def test_the_picture_of_a_bulk_change_is_the_table_in_the_code() -> None:
    assert drawn("## Bulk change") == moves(BULK_CHANGE_TRANSITIONS)


def test_the_picture_of_a_device_change_is_the_table_in_the_code() -> None:
    assert drawn("## Device change") == moves(DEVICE_TRANSITIONS)


def drawn(heading: str) -> set[tuple[str, str]]:
    """The arrows between states below a heading of docs/state-machine.md."""
    text = (ROOT / "docs" / "state-machine.md").read_text(encoding="utf-8").partition(f"{heading}\n")[2]
    picture = re.search(r"```mermaid\nstateDiagram-v2\n(.*?)```", text, re.DOTALL)
    assert picture, f"no diagram under {heading}"
    return {(source, target) for source, target in re.findall(r"^ +([A-Z_]+) --> ([A-Z_]+)$", picture[1], re.MULTILINE)}


def moves(table: Mapping[_Status, frozenset[_Status]]) -> set[tuple[str, str]]:
    """The legal moves of a table."""
    return {(source.value, target.value) for source, targets in table.items() for target in targets}
