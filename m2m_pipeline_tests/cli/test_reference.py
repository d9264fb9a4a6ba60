"""The documents of commands and settings say what the code says."""

from pathlib import Path

import pytest
from typer.main import get_command

from m2m_pipeline.cli import app
from m2m_pipeline.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"
COMMANDS, SETTINGS = ((DOCS / name).read_text() for name in ("commands.md", "settings.md"))


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_in_the_table_with_its_meaning_and_default(name: str) -> None:
    field = Settings.model_fields[name]
    default = "required" if field.is_required() else str(field.default).strip("()") or "none"
    (row,) = [line for line in SETTINGS.splitlines() if line.startswith(f"| `M2M_{name.upper()}` |")]

    _, _, meaning, told, _ = (cell.strip() for cell in row.split("|"))

    assert meaning == field.description
    assert told.strip("`") == default


def test_every_command_is_named() -> None:
    commands = get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue] -- a group has them
    missing = [name for name in commands if f"`m2m {name}" not in COMMANDS and f"m2m {name} " not in COMMANDS]

    assert missing == []
