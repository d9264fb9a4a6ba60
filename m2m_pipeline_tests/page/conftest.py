"""The page before a world, for clients without a browser and for real Chromium."""

from collections.abc import Generator

import pytest
from playwright.sync_api import Browser

from m2m_pipeline_tests.page.chromium import Person, person, started_chromium
from m2m_pipeline_tests.services.conftest import MakeWorld, carrier_url, make_world, shared_control
from m2m_pipeline_tests.web.door import Door, open_door
from m2m_pipeline_tests.world import Options, World

__all__ = ["carrier_url", "make_world", "shared_control"]

DEVICES = 60


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world(Options(devices=DEVICES))


@pytest.fixture
def door(world: World) -> Generator[Door]:
    with open_door(world, dev_sign_in=True, dagster_url="https://dagster.example.com") as opened:
        yield opened


@pytest.fixture(scope="module")
def chromium() -> Generator[Browser]:
    """No longer than its module: while it lives, an event loop runs in the main thread."""
    yield from started_chromium()


@pytest.fixture
def operator(chromium: Browser, door: Door) -> Generator[Person]:
    with person(chromium, door.url) as somebody:
        somebody.sign_in()
        yield somebody
        assert somebody.complaints == []
