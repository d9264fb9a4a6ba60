"""A world whose tenant has a webhook at a receiver on a socket."""

from collections.abc import Generator
from dataclasses import dataclass

import pytest

from m2m_pipeline.bootstrap import Application, build
from m2m_pipeline.domain.notices import DestinationKind
from m2m_pipeline.settings import Settings
from m2m_pipeline_tests.notices.receiver import Receiver
from m2m_pipeline_tests.services.conftest import carrier_url, make_world, shared_control, world
from m2m_pipeline_tests.world import TENANT, QuickCarriers, World

__all__ = ["carrier_url", "make_world", "shared_control", "world"]

SECRET = "a-secret-of-the-tenant"


@dataclass(frozen=True)
class Stand:
    """The world, its receiver, and the deliverer as a process of its own has it."""

    world: World
    receiver: Receiver
    services: Application
    destination_id: int

    def end_a_change(self) -> int:
        """A bulk change of one device that ends; its id."""
        return self.world.submit_and_run(self.world.iccids[:1])[0].id

    def statuses(self) -> list[object]:
        return [row[0] for row in self.world.sql("SELECT status FROM m2m.notice ORDER BY id")]

    def failure(self) -> str:
        """What is told of the last notice's failure."""
        return str(self.world.sql("SELECT last_failure FROM m2m.notice ORDER BY id DESC LIMIT 1")[0][0])

    def pass_time(self, hours: float = 1.0) -> None:
        """As if everything had been written that long ago."""
        for column in ("next_attempt_at", "trying_since"):
            self.world.sql(f"UPDATE m2m.notice SET {column} = {column} - interval '{hours} hours'")


def application(world: World, **settings: object) -> Application:
    """The application with other settings."""
    given = {"database_url": world.database_url, "encryption_keys": world.key, **settings}
    return world.owned(build(Settings.model_validate(given), QuickCarriers()))


@pytest.fixture
def receiver() -> Generator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def stand(world: World, receiver: Receiver) -> Generator[Stand]:
    services = application(world, webhook_hosts=receiver.host)
    stored = services.destinations.store(TENANT, DestinationKind.WEBHOOK, receiver.url, SECRET, "test")
    yield Stand(world, receiver, services, stored.destination.id)
    services.close()
