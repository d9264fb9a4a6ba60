"""What can go wrong before a command begins: one message with a name, never a trace, a statement or a secret."""

import json
import subprocess
import sys

import pytest

from m2m_pipeline.local.ports import free_port
from m2m_pipeline_tests.cli.conftest import Ended, Shell

PASSWORD = "p4ssw0rd"


def plainly(ended: Ended) -> str:
    """The message of a command that failed as it should."""
    assert ended.out == ""
    for sign in ("Traceback", "SELECT", "INSERT", "sqlalche", PASSWORD, 'File "'):
        assert sign not in ended.err
    return ended.err


def test_a_missing_setting_is_named_with_what_it_must_be_and_an_example(bare: Shell) -> None:
    ended = bare("status", "1")
    message = plainly(ended)
    assert ended.status == 2
    assert "M2M_DATABASE_URL" in message
    assert "PostgreSQL" in message
    assert "postgresql+psycopg://" in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("M2M_DATABASE_URL", f"postgresql+psycopg://u:{PASSWORD}@host:port/db"),
        ("M2M_ENCRYPTION_KEYS", f"{PASSWORD},{PASSWORD}"),
    ],
)
def test_a_wrong_setting_is_named_and_its_value_is_not_repeated(bare: Shell, name: str, value: str) -> None:
    settings = {"M2M_DATABASE_URL": f"postgresql+psycopg://u:{PASSWORD}@127.0.0.1:{free_port()}/db", name: value}
    ended = bare.with_(**settings)("status", "1")
    assert ended.status == 2
    assert name in plainly(ended)


@pytest.mark.parametrize("command", [("status", "1"), ("migrate",)])
def test_a_database_that_does_not_answer_is_worth_another_try(bare: Shell, command: tuple[str, ...]) -> None:
    url = f"postgresql+psycopg://u:{PASSWORD}@127.0.0.1:{free_port()}/db"
    ended = bare.with_(M2M_DATABASE_URL=url)(*command)
    assert ended.status == 3
    assert "M2M_DATABASE_URL" in plainly(ended)


def test_a_database_without_our_tables_is_told_plainly_and_migrate_makes_them(
    bare: Shell, empty_database_url: str
) -> None:
    m2m = bare.with_(M2M_DATABASE_URL=empty_database_url)
    before = m2m("provider", "list")
    assert before.status != 0
    assert "m2m migrate" in plainly(before)

    assert m2m("migrate") == Ended(0, "", "")
    assert m2m("migrate") == Ended(0, "", "")
    assert m2m("provider", "list") == Ended(0, "", "")


def test_an_error_as_json_is_json(bare: Shell) -> None:
    told: dict[str, object] = json.loads(plainly(bare("status", "1", "--json")))
    assert told["error"] == "MissingSettingError"


def test_help_and_keys_load_nothing_heavy() -> None:
    program = """
import sys
from m2m_pipeline.cli import main
sys.argv = ["m2m", "--help"]
try:
    main()
except SystemExit:
    pass
heavy = {"dagster", "pandas", "sqlalchemy", "psycopg", "httpx", "aiohttp", "alembic", "starlette"} & set(sys.modules)
print(sorted(heavy), file=sys.stderr)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stderr.strip() == "[]"
    assert "submit" in ended.stdout


def test_an_unknown_option_is_an_error_of_use(bare: Shell) -> None:
    ended = bare("status", "1", "--nonsense")
    assert ended.status == 2
    assert "--nonsense" in plainly(ended)
