"""One simulator for each worker, a world for each test, and the front door before it."""

from collections.abc import Generator

import pytest

from m2m_pipeline_tests.services.conftest import carrier_url, make_world, shared_control, world
from m2m_pipeline_tests.web.door import Door, open_door
from m2m_pipeline_tests.world import World

__all__ = ["carrier_url", "door", "make_world", "shared_control", "world"]


@pytest.fixture
def door(world: World) -> Generator[Door]:
    with open_door(world) as opened:
        yield opened
