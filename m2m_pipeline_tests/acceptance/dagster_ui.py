"""The Dagster UI in a browser, as an operator clicks through it."""

import re

import dagster as dg
from playwright.sync_api import Page, expect

from m2m_pipeline_tests.acceptance.site import Site
from m2m_pipeline_tests.acceptance.waiting import PATIENCE, eventually
from m2m_pipeline_tests.page.chromium import Person

PATIENCE_MS = 1000 * PATIENCE
"""The UI asks for what is new every few seconds."""


class DagsterUi:
    """One browser tab of it."""

    def __init__(self, page: Page, site: Site) -> None:
        self.page = page
        self._site = site

    def open_asset(self, asset: str) -> None:
        """From the catalog's list."""
        self.page.goto(f"{self._site.dagster_url}/assets")
        self.page.locator(f'a[href="/assets/{asset}"]').first.click()
        self.page.get_by_role("tab", name="Checks").wait_for()

    def open_check(self, asset: str, check: str) -> None:
        """From the catalog to one of an asset's checks."""
        self.open_asset(asset)
        self.page.get_by_role("tab", name="Checks").click()
        self.page.get_by_text(check, exact=True).first.click()
        self.page.get_by_text("Latest execution").wait_for()

    def open_partition(self, asset: str, key: str) -> None:
        """From the catalog to what was last said of one partition."""
        self.open_asset(asset)
        self.page.get_by_role("tab", name="Partitions").click()
        self.page.get_by_text(key, exact=True).first.click()
        self.page.get_by_text("Metadata", exact=True).wait_for()

    def open_markdown(self, name: str) -> None:
        """The metadata entry of that name, which Dagster shows in a dialog, with its image drawn."""
        self.page.get_by_role("row", name=name).get_by_text("[Show Markdown]").click()
        image = self.page.get_by_role("dialog").locator("img")
        expect(image).to_have_js_property("complete", value=True, timeout=PATIENCE_MS)
        assert image.evaluate("image => image.naturalWidth") > 0

    def close_dialog(self) -> None:
        """Of whatever is open."""
        self.page.get_by_role("button", name="Close").click()

    def follow(self, address: str, *, exact: bool = True) -> Person:
        """A link of the metadata to our own page, which opens in another tab."""
        with self.page.expect_popup() as opened:
            self.page.get_by_role("link", name=address, exact=exact).click()
        return Person(opened.value, self._site.page_url)

    def open_only_run(self, run_id: str) -> None:
        """From a list of runs, which shows this one alone, to the run."""
        shown = self.page.locator('a[href^="/runs/"]')
        shown.first.wait_for()
        assert set(shown.evaluate_all("links => links.map(link => link.getAttribute('href'))")) == {f"/runs/{run_id}"}
        shown.first.click()
        self.page.wait_for_url(f"{self._site.dagster_url}/runs/{run_id}*")

    def execute_check(self) -> None:
        """The button of the check that is open: this one alone."""
        self.page.get_by_role("button", name="execute Execute", exact=True).click()  # its icon is named, too

    def sees(self, text: str | re.Pattern[str]) -> None:
        """Wait until it can be seen."""
        expect(self.page.get_by_text(text).first).to_be_visible(timeout=PATIENCE_MS)

    def materialize(self, asset: str, key: str) -> None:
        """Press the button for one partition, agree that what comes with it is materialized too, and wait."""
        key_of, before = dg.AssetKey(asset), self._materializations(asset, key)
        self._site.instance.add_dynamic_partitions("service_provider", [key])  # as the schedule does
        self.open_asset(asset)
        self.page.get_by_role("button", name="Materialize…").click()
        dialog = self.page.get_by_role("dialog")
        for question in ("Additional assets will be materialized", "Are you sure?"):
            asked = dialog.filter(has_text=question)
            asked.get_by_role("button", name="Confirm").click()
        dialog.get_by_text("Select a partition or create one").click()
        self.page.keyboard.type(key)
        self.page.get_by_role("menu").get_by_text(key, exact=True).first.click()
        self.page.keyboard.press("Escape")
        dialog.get_by_role("button", name="Launch 1 run").click()
        eventually(lambda: self._materializations(asset, key) > before or None, f"a materialization of {key_of}, {key}")

    def _materializations(self, asset: str, key: str) -> int:
        chosen = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[key])
        return len(self._site.instance.fetch_materializations(chosen, limit=100).records)
