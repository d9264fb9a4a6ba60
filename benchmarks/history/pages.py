"""The catalog's pages, opened in a real browser, until what they are opened for can be seen."""

import shutil
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from playwright.sync_api import BrowserContext, Error, Page, sync_playwright

from benchmarks.measurement import InvalidRunError

PATIENCE_SECONDS = 60.0
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
SENSOR = "dispatch_bulk_changes"


class NoBrowserError(Exception):
    """There is nothing to open a page with."""


@dataclass(frozen=True, slots=True)
class CatalogPage:
    """Where it is, and what is in it once it has loaded: Playwright's selectors, all of which must be visible."""

    path: str
    shows: Sequence[str]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the rows, and must be seen: the `last_change` of so many, the run of one, the newest of all."""

    last_change: int
    changes: int
    run: str
    newest_run: str


def pages(known: Known) -> Mapping[str, CatalogPage]:
    """The pages by name."""
    changes, drift, last = "/assets/bulk_changes", "/assets/rate_plan_drift", known.last_change
    return {
        "asset catalog": CatalogPage("/assets", [f'a[href="{changes}"]', f'text="{known.changes} partitions"']),
        "bulk changes, one partition": CatalogPage(
            f"{changes}?view=partitions&partition={last}",
            [f'text="Materialized ({known.changes})"', 'text="requested by"'],
        ),
        "bulk changes, events": CatalogPage(f"{changes}?view=events", [f'text="{last}"', "text=/devices moved to/"]),
        "bulk changes, checks": CatalogPage(f"{changes}?view=checks", ['text="counts_balance"', 'text="Passed"']),
        "drift, events": CatalogPage(f"{drift}?view=events", ['text="devices drifted"']),
        "runs": CatalogPage("/runs", [f'a[href="/runs/{known.newest_run}"]']),
        "a run": CatalogPage(f"/runs/{known.run}", ['text="finalize_bulk_change"', 'text="RUN_SUCCESS"']),
        "automation": CatalogPage("/automation", [f'text="{SENSOR}"']),
        "ticks of a sensor": CatalogPage(
            f"/locations/m2m_pipeline/sensors/{SENSOR}", ['td >> text="0 runs requested"', 'text="View logs"']
        ),
    }


class Browser:
    """One profile of a browser, which has been at the webserver before: scripts are in its cache."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self._context = context
        self._url = url

    def open(self, page: CatalogPage) -> float:
        """Open a page in a new tab; seconds until all of it can be seen. Raises InvalidRunError if it never can."""
        with self._tab() as tab:
            began = time.monotonic()
            tab.goto(self._url + page.path, wait_until="commit")
            for selector in page.shows:
                try:
                    tab.locator(f"{selector} >> visible=true").first.wait_for()
                except Error as error:
                    raise InvalidRunError(f"{page.path}: {error.message}: {_text(tab)}") from error
            return time.monotonic() - began

    @contextmanager
    def _tab(self) -> Generator[Page]:
        tab = self._context.new_page()
        try:
            yield tab
        finally:
            tab.close()


@contextmanager
def browser(url: str) -> Generator[Browser]:
    """A browser beside the webserver at this address. Raises NoBrowserError where there is none."""
    program = next(_installed(), None)
    if program is None:
        raise NoBrowserError(f"none of {', '.join(NAMES)} was found. As root: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=FLAGS)
        context = chromium.new_context(viewport={"width": 1200, "height": 860})
        context.set_default_timeout(PATIENCE_SECONDS * 1000)
        try:
            yield Browser(context, url)
        finally:
            chromium.close()


def _installed() -> Iterator[str]:
    for name in NAMES:
        if found := shutil.which(name):
            yield found


def _text(tab: Page) -> str:
    return tab.locator("body").inner_text()[:2000]
