"""The database fails in the middle of a run: the run goes on by itself, and forgets nothing that it knew."""

from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from sqlalchemy import text

from m2m_pipeline.local.postgres import EmbeddedPostgres
from m2m_pipeline.simulator.client import SimulatorControl
from m2m_pipeline.storage.database import DatabaseUnavailableError
from m2m_pipeline.storage.migrate import upgrade
from m2m_pipeline_tests.faults import databases
from m2m_pipeline_tests.faults.field import Field, playing_field

pytestmark = pytest.mark.xdist_group("database faults")

_NEXT_ID = "SELECT CAST(pg_current_xact_id() AS text)"


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
            stack.enter_context(playing_field(control, carrier_url, server.url("m2m"), 7, databases.DEVICES)), server
        )


def test_a_run_survives_a_crash_of_the_database(ground: Ground) -> None:
    verdict = databases.crash_database(ground.field, ground.server, seed=1)

    assert verdict.holds, f"{verdict}"


def test_a_run_goes_on_after_a_failover_as_the_same_attempt(ground: Ground) -> None:
    verdict = databases.stay_away(ground.field, ground.server, seed=1)

    assert verdict.holds, f"{verdict}"


def test_what_a_crash_took_back_is_not_taken_for_committed_because_another_has_its_id(ground: Ground) -> None:
    """After a crash the server gives ids of transactions anew whose work was not on disk."""
    services = ground.field.services
    attempt = services.execution.claim(ground.field.submit(10).id, "run")

    def crash_before_the_commit() -> None:
        with services.database.fenced(attempt) as tx:
            ours = int(tx.execute(text(_NEXT_ID)).scalar_one())
            ground.server.stop("immediate")
            ground.server.start()
            assert ours in (int(str(ground.field.sql(_NEXT_ID)[0][0])) for _ in range(1000))

    with pytest.raises(DatabaseUnavailableError):
        crash_before_the_commit()


def test_a_run_survives_the_end_of_any_of_its_connections(ground: Ground) -> None:
    verdict = databases.terminate_backends(ground.field, seed=1, backends=10)

    assert verdict.kills == 10
    assert verdict.holds, f"{verdict}"


def test_a_run_waits_for_a_database_that_lets_nobody_in(ground: Ground) -> None:
    with databases.under_restricted_role(ground.field, "m2m_restricted"):
        verdict = databases.refuse_connections(ground.field, ground.server, "m2m_restricted", seed=1)

    assert verdict.holds, f"{verdict}"


def test_a_run_goes_on_as_the_same_attempt_once_the_database_no_longer_only_reads(ground: Ground) -> None:
    verdict = databases.only_read(ground.field, ground.server, seed=1)

    assert verdict.holds, f"{verdict}"


def test_a_run_repeats_statements_that_were_canceled(ground: Ground) -> None:
    verdict = databases.cancel_statements(ground.field, seed=1)

    assert verdict.holds, f"{verdict}"
