"""A user's file becomes a result while the real daemon does the work, and the page leads to the run that did it."""

from collections.abc import Generator

import pytest
from playwright.sync_api import Browser

from m2m_pipeline_tests.acceptance.accounts import NEW, OLD, Account
from m2m_pipeline_tests.acceptance.dagster_ui import PATIENCE_MS, DagsterUi
from m2m_pipeline_tests.acceptance.site import Site
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.page.chromium import Person, person, started_chromium
from m2m_pipeline_tests.page.steps import confirm

pytestmark = [pytest.mark.xdist_group("acceptance"), pytest.mark.timeout(600)]

TENANT, MOVED, MISTAKE = "newcomer", slice(3), "8.98822E+18"


@pytest.fixture(scope="module")
def chromium() -> Generator[Browser]:
    yield from started_chromium()


@pytest.fixture
def account(site: Site) -> Account:
    """The only one of its company, so that the form offers no other."""
    return site.account(tenant=TENANT)


@pytest.fixture
def user(site: Site, account: Account, chromium: Browser) -> Generator[Person]:
    with person(chromium, site.page_url) as somebody:
        somebody.page.context.set_default_timeout(PATIENCE_MS)
        somebody.sign_in(tenant=account.tenant)
        yield somebody


def test_a_file_becomes_a_result_that_the_ledger_bears_out_and_leads_to_its_run(
    site: Site, account: Account, user: Person
) -> None:
    moved = account.iccids[MOVED]
    sims = "\n".join(["iccid", *moved, MISTAKE]).encode()
    user.follow("New change")
    file = {"name": "sims.csv", "mimeType": "text/csv", "buffer": sims}
    user.page.get_by_label("CSV file").set_input_files(file)  # pyright: ignore[reportArgumentType] -- a dict of that shape
    user.page.get_by_label("Rate plan", exact=True).select_option(NEW)
    user.press("Check what would happen")
    user.sees("rounded number")
    assert site.puts(account) == 0
    user.page.get_by_label("Leave them out").check()
    bulk_change_id = confirm(user)

    user.sees("Partly done")
    user.sees("3 Changed")
    ended = site.ended(bulk_change_id, account)
    check_all(ended.evidence)
    assert [site.puts(account, iccid) for iccid in moved] == [1, 1, 1]
    plans = {iccid: NEW if iccid in moved else OLD for iccid in account.iccids}
    assert {iccid: ended.carrier_plan(iccid) for iccid in account.iccids} == plans
    assert {iccid: ended.amop_plan(iccid) for iccid in account.iccids} == plans

    user.follow("Runs in Dagster")
    ui = DagsterUi(user.page, site)
    ui.open_only_run(ended.run.run_id)
    ui.sees(f'PARTIAL: 3 of 4 devices moved to "{NEW}"')
    assert user.complaints == []
