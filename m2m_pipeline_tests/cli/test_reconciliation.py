"""`m2m reconcile` and `m2m drift`: what was settled, what has drifted and why, for people and machines."""

import csv
import io
import json
import signal
from pathlib import Path

import pytest

from m2m_pipeline.domain.drift import CAUSES
from m2m_pipeline.simulator.documents import Drift
from m2m_pipeline.storage.drift import DRIFT_COLUMNS
from m2m_pipeline_tests.cli.conftest import OURS, Shell
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.services.planting import pages
from m2m_pipeline_tests.world import OLD, PROVIDER, THIRD, Options, World

OF_ATT = ("--provider", PROVIDER, *OURS)
DOCUMENT = Path(__file__).parents[2] / "docs" / "reconciliation.md"


def test_reconcile_prints_how_many_were_settled_and_the_drift_by_cause(m2m: Shell, world: World) -> None:
    world.control.drift(world.iccids[0], Drift(rate_plan=THIRD))

    told = json.loads(m2m("reconcile", *OF_ATT, "--json").out)
    again = m2m("reconcile", *OF_ATT, "--full")

    assert (told["settled"], told["unknown"]) == (0, 0)
    assert told["drift"]["devices"] == 1
    assert told["drift"]["by_cause"] == {"MADE_OUTSIDE": 1}
    assert (again.status, again.err) == (0, "")
    assert "1 devices have drifted" in again.out
    assert CAUSES["MADE_OUTSIDE"].title in again.out  # pyright: ignore[reportArgumentType] -- equal to its name


def test_the_drift_is_a_table_too(m2m: Shell, world: World) -> None:
    world.control.drift(world.iccids[0], Drift(rate_plan=THIRD))
    m2m("reconcile", *OF_ATT)

    (row,) = csv.DictReader(io.StringIO(m2m("drift", *OF_ATT, "--format", "csv").out))

    assert tuple(row) == DRIFT_COLUMNS
    assert (row["iccid"], row["amop_rate_plan"], row["carrier_rate_plan"]) == (world.iccids[0], OLD, THIRD)
    assert row["first_seen_at"].endswith("Z")
    assert "MADE_OUTSIDE" in m2m("drift", *OF_ATT).out


def test_a_carrier_that_cannot_be_asked_is_said_so(m2m: Shell, world: World) -> None:
    world.sql("DELETE FROM m2m.carrier_credential")

    ended = m2m("reconcile", *OF_ATT)

    assert ended.status == 1
    assert "has no credential" in ended.err


def test_a_pass_that_was_killed_goes_on_where_it_was(m2m_process: Shell, make_world: MakeWorld) -> None:
    world = make_world(Options(devices=2_000, lease=2.0))
    world.control.set_latency(40, 40)
    shell = m2m_process.with_(M2M_DATABASE_URL=world.database_url, M2M_ENCRYPTION_KEYS=world.key, M2M_LEASE_SECONDS="2")
    with shell.start("reconcile", *OF_ATT, "--full") as process:
        while pages(world) < 2_000 / 50 / 4:
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    before = pages(world)
    world.control.set_latency(0, 0)
    world.sql("UPDATE m2m.reconciliation_pass SET lease_expires_at = now()")

    done = world.services.drifting.find(world.provider, full=True)

    assert done.stopped is None
    assert done.counts == {}
    assert world.sql("SELECT count(*), max(sweeps) FROM m2m.reconciliation_pass") == [(1, 1)]
    tail = 2_000 / 50
    assert pages(world) - before <= 2_000 / 50 - before + 1 + tail + 3


@pytest.mark.parametrize("cause", CAUSES)
def test_the_document_says_what_the_code_says(cause: str) -> None:
    (row,) = [line for line in DOCUMENT.read_text().splitlines() if line.startswith(f"| {cause} |")]
    _, _, title, drift, next_step, _ = (cell.strip() for cell in row.split("|"))

    meant = CAUSES[cause]  # pyright: ignore[reportArgumentType] -- equal to its name
    assert (title, drift, next_step) == (meant.title, "yes" if meant.is_drift else "no", meant.next_step)
