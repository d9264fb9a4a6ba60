"""The catalog's pages, opened in a real browser, until what they are opened for can be seen."""

import shutil
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from tempfile import TemporaryDirectory

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


IS_SHOWN = """wanted => wanted.every(({css, text, whole}) => {
    const visible = one => one.checkVisibility() && one.getClientRects().length > 0;
    if (!text) return [...document.querySelectorAll(css)].some(visible);
    const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (words.nextNode()) {
        const one = words.currentNode.parentElement;
        const said = one.textContent.replace(/\\s+/g, " ").trim();
        if ((whole ? said === text : said.includes(text)) && one.closest(css) && visible(one)) return true;
    }
    return false;
})"""
LOOK_MILLISECONDS = 50
"""How often it is looked at. Playwright's own waiting comes to every half a second: too coarse for a time."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Something that can be seen: an element by its selector, or words within one; all that it says, or a part."""

    css: str = "body"
    text: str = ""
    whole: bool = True


@dataclass(frozen=True, slots=True)
class CatalogPage:
    """Where it is, and what can be seen in it once it has loaded: all of it."""

    path: str
    shows: Sequence[Seen]


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
        "asset catalog": CatalogPage(
            "/assets", [Seen(f'a[href="{changes}"]'), Seen(text=f"{known.changes} partitions")]
        ),
        "bulk changes, one partition": CatalogPage(
            f"{changes}?view=partitions&partition={last}",
            [Seen(text=f"Materialized ({known.changes})"), Seen(text="requested by")],
        ),
        "bulk changes, events": CatalogPage(
            f"{changes}?view=events", [Seen(text=str(last)), Seen(text="devices moved to", whole=False)]
        ),
        "bulk changes, checks": CatalogPage(
            f"{changes}?view=checks", [Seen(text="counts_balance"), Seen(text="Passed")]
        ),
        "drift, events": CatalogPage(f"{drift}?view=events", [Seen(text="devices drifted")]),
        "runs": CatalogPage("/runs", [Seen(f'a[href="/runs/{known.newest_run}"]')]),
        "a run": CatalogPage(f"/runs/{known.run}", [Seen(text="finalize_bulk_change"), Seen(text="RUN_SUCCESS")]),
        "automation": CatalogPage("/automation", [Seen(text=SENSOR)]),
        "ticks of a sensor": CatalogPage(
            f"/locations/m2m_pipeline/sensors/{SENSOR}", [Seen("td", "0 runs requested"), Seen(text="View logs")]
        ),
    }


class Browser:
    """An operator's browser, which has been at the webserver before: it has its scripts, and has compiled them."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self._context = context
        self._url = url

    def open(self, page: CatalogPage) -> float:
        """Open a page in a new tab; seconds until all of it can be seen. Raises InvalidRunError if it never can."""
        with self._tab() as tab:
            began = time.monotonic()
            tab.goto(self._url + page.path, wait_until="domcontentloaded")
            try:
                tab.wait_for_function(IS_SHOWN, arg=[asdict(one) for one in page.shows], polling=LOOK_MILLISECONDS)
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
    # A profile on disk: without one a browser keeps no compiled scripts, and each page compiles them all again.
    with sync_playwright() as playwright, TemporaryDirectory() as profile:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=program, args=FLAGS, viewport={"width": 1200, "height": 860}
        )
        context.set_default_timeout(PATIENCE_SECONDS * 1000)
        try:
            yield Browser(context, url)
        finally:
            context.close()


def _installed() -> Iterator[str]:
    for name in NAMES:
        if found := shutil.which(name):
            yield found


def _text(tab: Page) -> str:
    return tab.locator("body").inner_text()[:2000]
