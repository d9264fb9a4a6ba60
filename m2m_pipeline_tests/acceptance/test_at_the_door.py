"""What is refused before anything is recorded, and what is left of a request that could not be recorded: nothing."""

import json
import subprocess
from pathlib import Path

import pytest

from m2m_pipeline_tests.acceptance.accounts import NEW, Account
from m2m_pipeline_tests.acceptance.site import Site, write_csv

pytestmark = [pytest.mark.xdist_group("acceptance"), pytest.mark.timeout(600)]

NEIGHBOUR = "globex"
REJECTED, UNAVAILABLE = 2, 3


@pytest.fixture(scope="module")
def account(site: Site) -> Account:
    """One account for requests that never get in."""
    return site.account()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sims.csv"


def test_end1_a_request_that_does_not_hold_is_told_every_reason_at_once(
    site: Site, account: Account, file: Path
) -> None:
    good = account.iccids[0]
    rows = [good, "8.98821E+18", "89A1", good, "8988000000000000009"]
    wrong = ("--rate-plan", "Plan Nine", "--effective-date", "2020-01-01")
    said = site.command(*site.submit_command(account, file, rows, *wrong, "--json"))

    assert (said.returncode, said.stdout) == (REJECTED, "")
    problems = [(one["code"], one["row"]) for one in json.loads(said.stderr)["problems"]]
    assert problems == [
        ("RATE_PLAN_UNKNOWN", None),
        ("EFFECTIVE_DATE_PAST", None),
        ("ICCID_SPREADSHEET_DAMAGE", 2),
        ("ICCID_MALFORMED", 3),
        ("DUPLICATE", 4),
        ("NOT_IN_INVENTORY", 5),
    ]
    assert _recorded(site, account) == (0, 0, 0)


def test_end1_each_reason_is_one_line_for_a_person_with_its_row_and_what_to_do(
    site: Site, account: Account, file: Path
) -> None:
    said = site.command(*site.submit_command(account, file, [account.iccids[0], "8.98821E+18"]))

    assert said.returncode == REJECTED
    (line,) = [line for line in said.stderr.splitlines() if "8.98821E+18" in line]
    assert "row 2" in line
    assert "Format the column as text" in line


def test_end3_a_request_that_the_database_refuses_leaves_nothing_half_written(
    site: Site, account: Account, file: Path
) -> None:
    site.sql(_FAIL_FOR.format(iccid=account.iccids[2], how="RAISE EXCEPTION 'disk on fire'"))
    said = site.command(*site.submit_command(account, file, account.iccids[:3]))

    assert (said.returncode, said.stdout) == (UNAVAILABLE, ""), said.stderr
    assert "Nothing of it was recorded" in said.stderr
    assert _recorded(site, account) == (0, 0, 0)
    _tells_no_internals(said, account)


def test_end3_a_connection_that_is_cut_while_recording_leaves_nothing_half_written(
    site: Site, account: Account, file: Path
) -> None:
    site.sql(_FAIL_FOR.format(iccid=account.iccids[3], how="PERFORM pg_terminate_backend(pg_backend_pid())"))
    said = site.command(*site.submit_command(account, file, [account.iccids[0], account.iccids[3]]))

    assert (said.returncode, said.stdout) == (UNAVAILABLE, ""), said.stderr
    assert "Nothing of it was recorded" in said.stderr
    assert _recorded(site, account) == (0, 0, 0)
    _tells_no_internals(said, account)


def test_another_tenants_provider_is_unknown_and_its_devices_are_in_no_inventory_of_ours(
    site: Site, account: Account, file: Path
) -> None:
    theirs = site.account(tenant=NEIGHBOUR)

    write_csv(file, theirs.iccids[1:2])  # the first, rounded by a spreadsheet, would be the same
    wanted = ("--rate-plan", NEW, "--json")
    at_their_provider = site.command("submit", str(file), "--provider", theirs.provider, *wanted, "--tenant", "acme")
    at_our_provider = site.command("submit", str(file), "--provider", account.provider, *wanted, "--tenant", "acme")

    assert _codes(at_their_provider) == ["PROVIDER_UNKNOWN"]
    assert _codes(at_our_provider) == ["NOT_IN_INVENTORY"]
    assert _recorded(site, theirs) == (0, 0, 0)


def test_a_plan_of_another_provider_is_no_plan_of_this_one(site: Site, file: Path) -> None:
    """Bug 9 of the old system: plans were looked up by their name alone."""
    account = site.account()
    site.sql(
        "DELETE FROM m2m.carrier_rate_plan p USING m2m.service_provider s "
        "WHERE p.service_provider_id = s.id AND s.name = %s",
        account.provider,
    )
    said = site.command(*site.submit_command(account, file, account.iccids[:1], "--json"))

    assert _codes(said) == ["RATE_PLAN_UNKNOWN"]


def test_a_provider_that_no_adapter_serves_is_refused_at_the_door(site: Site, file: Path) -> None:
    """Bug 3 of the old system: such a change was queued again every five seconds for ever."""
    account = site.account()
    site.sql("UPDATE m2m.service_provider SET integration_type = 'Teal' WHERE name = %s", account.provider)
    said = site.command(*site.submit_command(account, file, account.iccids[:1], "--json"))

    assert _codes(said) == ["PROVIDER_UNSUPPORTED"]
    assert _recorded(site, account) == (0, 0, 0)


_FAIL_FOR = """
CREATE OR REPLACE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN {how}; RETURN NEW; END $$;
CREATE OR REPLACE TRIGGER fail AFTER INSERT ON m2m.device_change FOR EACH ROW WHEN (NEW.iccid = '{iccid}')
EXECUTE FUNCTION public.fail();
"""


def _recorded(site: Site, account: Account) -> tuple[object, ...]:
    """Bulk changes, device changes and audit entries of requests to the account's provider."""
    (counts,) = site.sql(
        """
        SELECT (SELECT count(*) FROM m2m.bulk_change WHERE service_provider_id = p.id),
            (SELECT count(*) FROM m2m.device_change WHERE service_provider_id = p.id),
            (SELECT count(*) FROM m2m.audit_entry WHERE service_provider_id = p.id AND kind = 'REQUEST_RECORDED')
        FROM m2m.service_provider p WHERE p.name = %s
        """,
        account.provider,
    )
    return counts


def _codes(said: subprocess.CompletedProcess[str]) -> list[str]:
    assert said.returncode == REJECTED, said
    return [problem["code"] for problem in json.loads(said.stderr)["problems"]]


def _tells_no_internals(said: subprocess.CompletedProcess[str], account: Account) -> None:
    for word in ("Traceback", "INSERT", "SELECT", "sqlalchemy", "postgresql", *account.iccids):
        assert word not in said.stderr
