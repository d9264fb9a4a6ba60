"""An operator's day, clicked through in a real browser; docs/operations.md tells it with these pictures."""

from collections.abc import Generator

import pytest
from playwright.sync_api import Browser

from m2m_pipeline.domain.accounts import DriftPolicy
from m2m_pipeline.services.accounts import ProviderSettings
from m2m_pipeline.simulator.documents import Drift
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.acceptance.accounts import NEW, OLD, Account
from m2m_pipeline_tests.acceptance.dagster_ui import PATIENCE_MS, DagsterUi
from m2m_pipeline_tests.acceptance.site import Site
from m2m_pipeline_tests.invariants import (
    i1_every_device_reaches_a_final_status,
    i2_at_most_one_change_and_no_blind_repeat,
    i3_the_status_agrees_with_carrier_and_amop,
    i4_every_device_is_audited,
    i7_only_legal_transitions,
)
from m2m_pipeline_tests.page.chromium import Person, person, picture, started_chromium

pytestmark = [pytest.mark.xdist_group("acceptance"), pytest.mark.timeout(900)]

REFUSED, MOVED, STRAYED = slice(2), slice(6), slice(6, 9)
"""The account's devices: those the carrier refuses at first, among those of the change; those somebody moves there."""
PROCESSED, OVER = "PROCESSED", "No device of an ended bulk change is left refused"
CODE = "10000029"
DRIFT = "drift_under_the_threshold"

INVARIANTS = (
    i1_every_device_reaches_a_final_status,
    i2_at_most_one_change_and_no_blind_repeat,
    i3_the_status_agrees_with_carrier_and_amop,
    i4_every_device_is_audited,
    i7_only_legal_transitions,
)
"""Those that do not count the calls of the account, on which reconciliation has called, too."""


@pytest.fixture(scope="module")
def chromium() -> Generator[Browser]:
    yield from started_chromium()


@pytest.fixture
def account(site: Site) -> Account:
    """An account at a site where all else is long over: no check looks at what other tests have left there."""
    site.sql("UPDATE m2m.bulk_change SET finished_at = finished_at - interval '60 days' WHERE finished_at IS NOT NULL")
    return site.account(ProviderSettings(drift=DriftPolicy.PROPOSE))


@pytest.fixture
def operator(site: Site, account: Account, chromium: Browser) -> Generator[Person]:
    """Signed in at the page."""
    with person(chromium, site.page_url) as somebody:
        somebody.page.context.set_default_timeout(PATIENCE_MS)
        somebody.sign_in(tenant=account.tenant)
        somebody.sees("Changes")
        yield somebody


def test_a_partial_change_is_found_understood_and_retried_and_drift_is_found_and_repaired(
    site: Site, account: Account, operator: Person
) -> None:
    ui = DagsterUi(operator.page, site)
    yesterdays = partial_change(site, account)

    ui.open_check("bulk_changes", "no_refused_device_left")
    ui.sees(f"bulk change {yesterdays}: 2 devices were refused")
    picture(ui.page, "day-1-refused")
    ui.open_partition("bulk_changes", str(yesterdays))
    ui.sees("refused by the carrier")
    ui.sees(CODE)
    picture(ui.page, "day-2-why")
    ui.open_markdown("plot")
    picture(ui.page, "bulk-change-plot")
    ui.close_dialog()

    change = ui.follow(f"{site.page_url}/changes/{yesterdays}")
    change.sees("2 refused by the carrier")
    picture(change.page, "day-3-retry", height=690)
    press_to_the_end(change, "Try the refused SIMs again")
    ui.open_check("bulk_changes", "no_refused_device_left")
    ui.sees("Passed")
    ui.sees(OVER)
    picture(ui.page, "checks")

    for iccid in account.iccids[STRAYED]:
        site.control.drift(iccid, Drift(rate_plan=NEW))
    provider = f"{account.tenant}/{account.provider}"
    ui.materialize("rate_plan_drift", provider)
    ui.open_check("rate_plan_drift", DRIFT)
    ui.sees(f"{provider}: 3 of 12 devices have drifted")
    picture(ui.page, "day-4-drift")
    ui.open_partition("rate_plan_drift", provider)
    ui.sees("changed at the carrier, outside AMOP")
    picture(ui.page, "drift")

    repair = ui.follow(f"{site.page_url}/changes/", exact=False)
    repair.sees("Not started")
    picture(repair.page, "day-5-repair", height=560)
    press_to_the_end(repair, "Start the change of 3 SIMs")
    assert site.command("reconcile", "--tenant", account.tenant, "--provider", account.provider).returncode == 0
    ui.open_check("rate_plan_drift", DRIFT)
    ui.execute_check()
    ui.sees("Passed")
    picture(ui.page, "day-6-over")

    repaired = int(repair.page.url.rsplit("/", 1)[1])
    for bulk_change_id, devices in ((yesterdays, 6), (repaired, 3)):
        evidence = site.evidence(bulk_change_id, account)
        for holds in INVARIANTS:
            holds(evidence)
        assert evidence.bulk.status == PROCESSED
        assert [row.status for row in evidence.rows] == [PROCESSED] * devices
    plans = {iccid: NEW if iccid in account.iccids[MOVED] else OLD for iccid in account.iccids}
    assert {iccid: evidence.carrier[iccid].rate_plan for iccid in account.iccids} == plans
    assert {iccid: evidence.amop[iccid][0] for iccid in account.iccids} == plans


def partial_change(site: Site, account: Account) -> int:
    """A bulk change of which the carrier refused two devices, as it does no more; its id."""
    rule = site.control.start(Rule(name="device_refused", iccids=frozenset(account.iccids[REFUSED])))
    ended = site.ended(site.submit(account, account.iccids[MOVED]), account)
    site.control.stop(rule)
    assert ended.document.counts == {PROCESSED: 4, "REFUSED": 2}
    return ended.document.id


def press_to_the_end(somebody: Person, button: str) -> None:
    """Press a button of a bulk change's page, and stay until the page shows that it is done."""
    somebody.press(button)
    somebody.page.locator(".pill", has_text="Done").wait_for(timeout=PATIENCE_MS)
