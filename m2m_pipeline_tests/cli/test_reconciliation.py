"""`m2m reconcile` and `m2m drift`: what was settled, what has drifted and why, for people and machines."""

import csv
import io
import json
import signal
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from m2m_pipeline.domain.drift import CAUSES
from m2m_pipeline.domain.passes import PassPhase
from m2m_pipeline.services.drift.checking import TOGETHER
from m2m_pipeline.simulator.documents import Drift
from m2m_pipeline.storage.drift import DRIFT_COLUMNS
from m2m_pipeline_tests.cli.conftest import OURS, Shell
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.services.planting import found, pages, plant, read_alone
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


def test_changes_for_a_day_to_come_are_counted_apart_and_are_no_failure(m2m: Shell, world: World) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
    world.submit_and_run(effective_date=tomorrow.isoformat())

    ended = m2m("reconcile", *OF_ATT)

    assert (ended.status, ended.err) == (0, "")
    assert "0 devices settled, 0 still unknown, 3 for a day to come" in ended.out


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


@pytest.mark.parametrize("phase", [PassPhase.LISTING, PassPhase.CHECKING])
def test_after_a_kill_the_next_pass_asks_again_only_what_was_under_way(
    m2m_process: Shell, make_world: MakeWorld, phase: PassPhase
) -> None:
    world = make_world(Options(devices=1_000))
    drift = plant(world, 20)  # 80 devices to be read alone: more than one commit of them
    world.control.set_latency(20, 20)
    shell = m2m_process.with_(M2M_DATABASE_URL=world.database_url, M2M_ENCRYPTION_KEYS=world.key)
    with shell.start("reconcile", *OF_ATT, "--full") as process:
        while (pages(world) < 5) if phase is PassPhase.LISTING else (len(read_alone(world)) <= TOGETHER):
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    ((reached, checked),) = world.sql("SELECT phase, checked FROM m2m.reconciliation_pass")
    assert reached == phase
    under_way = len(read_alone(world)) - int(str(checked))
    world.control.set_latency(0, 0)
    world.sql("UPDATE m2m.reconciliation_pass SET lease_expires_at = now()")

    done = world.services.drifting.find(world.provider, full=True)

    assert done.stopped is None
    assert found(world) == {cause: sorted(iccids) for cause, iccids in drift.items()}
    assert world.count("reconciliation_pass") == 1
    listed = [call.query for call in world.control.calls() if call.path.endswith("/devices")]
    whole_list = listed[0].partition("&")[0]  # beside it there is the short list of what was modified meanwhile
    assert asked_again([query for query in listed if query.startswith(whole_list)]) <= 1
    assert asked_again(read_alone(world)) <= under_way <= TOGETHER


def asked_again(questions: Sequence[str]) -> int:
    """How many were asked before."""
    return len(questions) - len(set(questions))


@pytest.mark.parametrize("cause", CAUSES)
def test_the_document_says_what_the_code_says(cause: str) -> None:
    (row,) = [line for line in DOCUMENT.read_text().splitlines() if line.startswith(f"| {cause} |")]
    _, _, title, drift, next_step, _ = (cell.strip() for cell in row.split("|"))

    meant = CAUSES[cause]  # pyright: ignore[reportArgumentType] -- equal to its name
    assert (title, drift, next_step) == (meant.title, "yes" if meant.is_drift else "no", meant.next_step)
