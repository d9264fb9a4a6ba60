"""One carrier simulator for each worker; a field for each module that wants one."""

import secrets
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Protocol

import pytest

from m2m_pipeline.local.postgres import EmbeddedPostgres
from m2m_pipeline.simulator.client import SimulatorControl
from m2m_pipeline_tests.faults.field import Field, playing_field
from m2m_pipeline_tests.world import simulator_process


class MakeField(Protocol):
    """Makes a field with so many accounts."""

    def __call__(self, accounts: int, devices_each: int, **settings: str) -> Field: ...


@pytest.fixture(scope="session")
def carrier_url() -> Generator[str]:
    with simulator_process() as url:
        yield url


@pytest.fixture(scope="module")
def make_field(carrier_url: str, postgres_server: EmbeddedPostgres, migrated_template: str) -> Generator[MakeField]:
    """Fields over a fresh database each; only the newest has the carrier."""
    with ExitStack() as stack, SimulatorControl(carrier_url) as control:

        def make(accounts: int, devices_each: int, **settings: str) -> Field:
            url = stack.enter_context(_database(postgres_server, migrated_template))
            return stack.enter_context(playing_field(control, carrier_url, url, accounts, devices_each, **settings))

        yield make


@contextmanager
def _database(server: EmbeddedPostgres, template: str) -> Generator[str]:
    name = f"faults_{secrets.token_hex(6)}"
    server.create_database(name, template)
    yield server.url(name)
    server.drop_database(name)
