"""Nobody finds a carrier's key anywhere: not in a database, not in a log, not in what steps handed on."""

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from m2m_pipeline_tests.acceptance.accounts import CANARY
from m2m_pipeline_tests.acceptance.play import Play
from m2m_pipeline_tests.acceptance.site import Site, query

pytestmark = [pytest.mark.xdist_group("acceptance"), pytest.mark.timeout(600)]

KEPT_FOR_THE_OPERATOR = {"services.json", "encryption.key"}


@pytest.fixture(scope="module")
def secrets(play: Play, site: Site) -> Sequence[str]:
    """Every form in which a secret might have got out."""
    username = play.ends["success"].account.username
    signed_in = base64.b64encode(f"{username}:{CANARY}-{username}".encode()).decode()
    encryption_keys = site.environment["M2M_ENCRYPTION_KEYS"].split(",")
    return [CANARY, CANARY.encode().hex(), signed_in, *encryption_keys]


@pytest.mark.parametrize("name", ["M2M_DATABASE_URL", "M2M_DAGSTER_DATABASE_URL"])
def test_no_secret_is_in_any_row_of_any_table(secrets: Sequence[str], site: Site, play: Play, name: str) -> None:
    assert rows_with(site.environment[name], play.ends["success"].account.provider), "the search finds nothing at all"
    for secret in secrets:
        assert rows_with(site.environment[name], secret) == {}


def test_no_secret_is_in_any_log_or_stored_output(secrets: Sequence[str], site: Site) -> None:
    files = {file: file.read_bytes() for file in written_files(site.state)}

    assert any(b"bulk_carrier_rate_plan_change" in content for content in files.values())
    for secret in secrets:
        assert [file for file, content in files.items() if secret.encode() in content] == []


def rows_with(url: str, word: str) -> dict[str, int]:
    """Table → how many of its rows hold the word in any column; tables without one are left out."""
    tables = query(
        url,
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
        "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    )
    found: dict[str, int] = {}
    for (table,) in tables:
        ((count,),) = query(url, f"SELECT count(*) FROM {table} t WHERE strpos(t::text, %s) > 0", word)
        assert isinstance(count, int)
        if count:
            found[str(table)] = count
    return found


def written_files(state: Path) -> Iterator[Path]:
    """Everything that the services wrote, the database's own files aside: those are searched as tables."""
    for file in state.rglob("*"):
        inside = file.relative_to(state).parts
        if file.is_file() and inside[0] != "postgres" and file.name not in KEPT_FOR_THE_OPERATOR:
            yield file
    yield state / "postgres" / "server.log"
