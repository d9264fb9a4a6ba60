"""Reads that fail tell nothing: the device stays unknown, is not sent again, and AMOP is not told."""

import pytest

from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.services.test_reconciliation import end_unknown
from m2m_pipeline_tests.services.test_trouble import GET, PUT, run_with
from m2m_pipeline_tests.world import NEW, OLD, Options, World

pytestmark = pytest.mark.usefixtures("quick_reads")


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world(Options(devices=4, in_flight=2))


def test_a_refused_read_says_nothing_about_the_change(world: World) -> None:
    victim = frozenset({world.iccids[0]})
    evidence = run_with(
        world,
        Rule(name="applied_then_reset", iccids=victim),
        Rule(name="unknown_code", iccids=victim, methods=GET),
    )

    row = evidence.row(world.iccids[0])
    assert (row.status, row.reason) == ("UNCONFIRMED", "OUTCOME_UNKNOWN")
    assert evidence.carrier[row.iccid].rate_plan == NEW
    check_all(evidence)


@pytest.mark.parametrize("scenario", ["html_502", "reset_before", "truncated", "error500_not_applied", "oversized"])
def test_a_device_that_cannot_be_read_back_is_left_unconfirmed_and_not_sent_again(world: World, scenario: str) -> None:
    victim = frozenset({world.iccids[0]})
    evidence = run_with(
        world,
        Rule(name="applied_then_reset", iccids=victim),
        Rule(name=scenario, iccids=victim, methods=GET, size_mb=2),
    )

    row = evidence.row(world.iccids[0])
    assert (row.status, row.reason) == ("UNCONFIRMED", "OUTCOME_UNKNOWN")
    assert len(evidence.puts(row.iccid)) == 1
    assert evidence.amop[row.iccid][0] == OLD
    check_all(evidence)


def test_a_device_is_never_left_open_by_reads_that_fail_and_calls_that_fail(world: World) -> None:
    victim = frozenset({world.iccids[0]})
    evidence = run_with(
        world,
        Rule(name="error500_not_applied", iccids=victim, methods=PUT),
        Rule(name="html_502", iccids=victim, methods=GET, calls=8),
    )

    assert evidence.row(world.iccids[0]).status in {"REFUSED", "UNCONFIRMED"}
    check_all(evidence)


def test_a_list_page_that_fails_costs_reads_and_nothing_else(world: World) -> None:
    # No rule can choose the list alone, for it names no ICCID; but it comes first.
    evidence = run_with(world, Rule(name="html_502", methods=GET, skip_calls=1, calls=8))

    assert set(evidence.statuses().values()) == {"PROCESSED"}
    assert all(evidence.reads(iccid) for iccid in world.iccids)
    check_all(evidence)


@pytest.mark.parametrize(
    ("scenario", "reason"), [("ok_not_applied", "ACCEPTED_NOT_APPLIED"), ("blank_iccid", "ATTEMPTS_EXHAUSTED")]
)
def test_a_claim_that_could_not_be_confirmed_stays_one(make_world: MakeWorld, scenario: str, reason: str) -> None:
    """A 2xx that does not name the device was none."""
    world = make_world(Options(patience=0.5))
    bulk_change_id = end_unknown(world, Rule(name=scenario))

    (document,) = world.services.reconciliation.settle(world.provider).bulk_changes

    assert [(group.reason, group.count) for group in document.failures] == [(reason, 3)]
    check_all(world.evidence(bulk_change_id))
