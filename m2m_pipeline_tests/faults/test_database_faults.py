"""The database fails in the middle of a run: the run goes on by itself, and forgets nothing that it knew."""

from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from m2m_pipeline.local.postgres import EmbeddedPostgres
from m2m_pipeline.simulator.client import SimulatorControl
from m2m_pipeline.storage.migrate import upgrade
from m2m_pipeline_tests.faults import databases
from m2m_pipeline_tests.faults.field import Field, playing_field

pytestmark = pytest.mark.xdist_group("database faults")


@dataclass(frozen=True, slots=True)
class Ground:
    """A field over a server of its own, which may be crashed."""

    field: Field
    server: EmbeddedPostgres


@pytest.fixture(scope="module")
def ground(carrier_url: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[Ground]:
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedPostgres(tmp_path_factory.mktemp("server"), durable=True))
        server.create_database("m2m")
        upgrade(server.url("m2m"))
        control = stack.enter_context(SimulatorControl(carrier_url))
        yield Ground(
            stack.enter_context(playing_field(control, carrier_url, server.url("m2m"), 5, databases.DEVICES)), server
        )


def test_a_run_survives_a_crash_of_the_database(ground: Ground) -> None:
    verdict = databases.crash_database(ground.field, ground.server, seed=1)

    assert verdict.holds, verdict


def test_a_run_goes_on_after_a_failover_as_the_same_attempt(ground: Ground) -> None:
    verdict = databases.stay_away(ground.field, ground.server, seed=1)

    assert verdict.holds, verdict


def test_a_run_survives_the_end_of_any_of_its_connections(ground: Ground) -> None:
    verdict = databases.terminate_backends(ground.field, seed=1, backends=10)

    assert verdict.kills == 10
    assert verdict.holds, verdict


def test_a_run_waits_for_a_database_that_lets_nobody_in(ground: Ground) -> None:
    with databases.under_restricted_role(ground.field, "m2m_restricted"):
        verdict = databases.refuse_connections(ground.field, ground.server, "m2m_restricted", seed=1)

    assert verdict.holds, verdict


def test_a_run_repeats_statements_that_were_canceled(ground: Ground) -> None:
    verdict = databases.cancel_statements(ground.field, seed=1)

    assert verdict.holds, verdict
