"""People at a browser: Debian's Chromium, driven by Playwright's own package."""

import os
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from m2m_pipeline.domain.permissions import Role
from m2m_pipeline_tests.world import TENANT

REQUIRED = "M2M_TEST_CHROMIUM"
"""Set where a missing browser is an error: where it was meant to be installed."""
SCREENSHOTS = "M2M_TEST_SCREENSHOTS"
"""A folder for pictures of what was seen; docs/screenshots has them."""
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PATIENCE_MS = 20_000


def started_chromium() -> Iterator[Browser]:
    """One browser process for all tests of a worker; without one the tests are left out, or fail."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        missing = "left out: no Chromium was found. As root: apt-get install chromium; then make test"
        (pytest.fail if os.environ.get(REQUIRED) else pytest.skip)(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Person:
    """Somebody with a browser of their own. What it complains of is remembered."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list[str])

    def hear(self, said: ConsoleMessage) -> None:
        """Remember an error, unless it only tells the status of the page that was asked for."""
        if said.type == "error" and said.location["url"] != self.page.url:
            self.complaints.append(said.text)

    def open(self, path: str) -> None:
        self.page.goto(self.url + path)

    def sign_in(self, role: Role = Role.OPERATOR, tenant: str = TENANT) -> None:
        self.open("/")
        self.page.get_by_label("Company").fill(tenant)
        self.page.get_by_label(role.value.capitalize(), exact=True).check()
        self.press("Sign in")

    def press(self, button: str) -> None:
        self.page.get_by_role("button", name=button).click()

    def follow(self, link: str) -> None:
        self.page.get_by_role("link", name=link, exact=True).click()

    def sees(self, text: str) -> None:
        """Wait until it can be seen."""
        self.page.get_by_text(text).first.wait_for()

    @property
    def text(self) -> str:
        """All that can be read in the page."""
        return self.page.locator("body").inner_text()


def picture(page: Page, name: str, height: int = 860, width: int = 1200) -> None:
    """Keep what the page shows, where somebody wants to have it."""
    if folder := os.environ.get(SCREENSHOTS):
        page.set_viewport_size({"width": width, "height": height})
        page.screenshot(path=Path(folder) / f"{name}.png", animations="disabled")


@contextmanager
def person(browser: Browser, url: str, **options: object) -> Generator[Person]:
    """A browser profile without a past; `options` are Playwright's for a context."""
    context = browser.new_context(**{"viewport": {"width": 1200, "height": 860}, **options})  # pyright: ignore[reportArgumentType] -- options by name
    context.set_default_timeout(PATIENCE_MS)
    somebody = Person(context.new_page(), url)
    somebody.page.on("console", somebody.hear)
    somebody.page.on("pageerror", lambda error: somebody.complaints.append(str(error)))
    try:
        yield somebody
    finally:
        context.close()
