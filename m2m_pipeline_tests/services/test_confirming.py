"""Confirmation by the device list: whatever the carrier's clock and the order of its pages, no claim is believed."""

from datetime import timedelta
from math import ceil

import pytest

from m2m_pipeline.carriers.registry import CarrierRegistry
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.evidence import Evidence
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import NEW, Options, World

pytestmark = pytest.mark.usefixtures("quick_reads")

DEVICES = 120
ORDINARY_PAGES = ceil(DEVICES / 50)
BEHIND = (timedelta(seconds=30), timedelta(minutes=3))
FAR_BEHIND = timedelta(hours=1)
PATIENT = CarrierRegistry()
"""With the time limits of every day: a call that was given up on a busy machine would be read alone, too."""
NOT_KEPT = 12


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world(Options(devices=DEVICES, in_flight=20), PATIENT)


def pages(evidence: Evidence) -> int:
    """The list pages that were read."""
    return sum(call.method == "GET" and call.path.endswith("/devices") for call in evidence.calls)


def read_alone(evidence: Evidence) -> set[str]:
    return {call.iccid for call in evidence.calls if call.method == "GET" and call.iccid}


def run_with(world: World, *rules: Rule) -> Evidence:
    """Change all devices in one batch under these rules."""
    for rule in rules:
        world.trouble(rule)
    return world.submit_and_run(batch_size=DEVICES)[1]


def skewed(seconds: timedelta, *, told: bool = False) -> Rule:
    return Rule(name="clock_skew", skew_s=seconds.total_seconds(), told=told)


@pytest.mark.parametrize("skew", [-FAR_BEHIND, *(-lag for lag in BEHIND), timedelta(0), *BEHIND, FAR_BEHIND])
def test_a_clock_that_the_answers_tell_costs_no_more_than_the_ordinary_list(world: World, skew: timedelta) -> None:
    evidence = run_with(world, skewed(skew, told=True))

    assert set(evidence.statuses().values()) == {"PROCESSED"}
    assert (pages(evidence), read_alone(evidence)) == (ORDINARY_PAGES, set())
    check_all(evidence)


@pytest.mark.parametrize("skew", [-FAR_BEHIND, FAR_BEHIND])
def test_over_several_batches_a_clock_that_is_told_costs_no_more_either(make_world: MakeWorld, skew: timedelta) -> None:
    world = make_world(Options(devices=200, in_flight=20), PATIENT)
    world.trouble(skewed(skew, told=True))

    _, evidence = world.submit_and_run(batch_size=100)

    # Of the second batch's list, the first page or two may still be the first batch's.
    assert pages(evidence) <= 2 * (2 + 2)
    assert read_alone(evidence) == set()
    check_all(evidence)


@pytest.mark.parametrize("ahead", [timedelta(seconds=30), timedelta(minutes=3), timedelta(hours=1)])
def test_a_carrier_whose_clock_is_ahead_costs_no_more_than_the_ordinary_list(world: World, ahead: timedelta) -> None:
    evidence = run_with(world, skewed(ahead))

    assert set(evidence.statuses().values()) == {"PROCESSED"}
    assert (pages(evidence), read_alone(evidence)) == (ORDINARY_PAGES, set())
    check_all(evidence)


@pytest.mark.parametrize("behind", BEHIND)
def test_a_carrier_whose_clock_is_minutes_behind_costs_a_second_list(world: World, behind: timedelta) -> None:
    evidence = run_with(world, skewed(-behind))

    assert set(evidence.statuses().values()) == {"PROCESSED"}
    assert pages(evidence) <= 2 * ORDINARY_PAGES
    assert read_alone(evidence) == set()
    check_all(evidence)


def test_a_carrier_whose_clock_is_further_behind_is_asked_device_by_device(world: World) -> None:
    evidence = run_with(world, skewed(-FAR_BEHIND))

    assert set(evidence.statuses().values()) == {"PROCESSED"}
    assert pages(evidence) <= 2 * ORDINARY_PAGES
    assert all(len(evidence.reads(iccid)) == 1 for iccid in world.iccids)
    check_all(evidence)


@pytest.mark.parametrize("skew", [-FAR_BEHIND, -BEHIND[1], -BEHIND[0], *BEHIND, FAR_BEHIND])
def test_no_clock_makes_a_claim_that_was_not_kept_look_kept(world: World, skew: timedelta) -> None:
    not_kept = frozenset(world.iccids[::10])
    evidence = run_with(world, Rule(name="ok_not_applied", iccids=not_kept), skewed(skew))

    assert {row.iccid for row in evidence.rows if row.reason == "ACCEPTED_NOT_APPLIED"} == not_kept
    assert sum(row.status == "PROCESSED" for row in evidence.rows) == DEVICES - NOT_KEPT
    check_all(evidence)


def test_a_clock_that_jumps_midway_confuses_nobody(world: World) -> None:
    evidence = run_with(world, Rule(name="clock_skew", skew_s=-FAR_BEHIND.total_seconds(), begins_after_s=0.05))

    assert set(evidence.statuses().values()) == {"PROCESSED"}
    check_all(evidence)


@pytest.mark.parametrize("in_flight", [1, 20])
@pytest.mark.parametrize("rule", [Rule(name="list_moves", moved=7), Rule(name="list_unordered")])
def test_devices_that_change_their_place_between_pages_are_neither_missed_nor_believed(
    make_world: MakeWorld, rule: Rule, in_flight: int
) -> None:
    world = make_world(Options(devices=DEVICES, in_flight=in_flight), PATIENT)
    not_kept = frozenset(world.iccids[5::10])
    evidence = run_with(world, Rule(name="ok_not_applied", iccids=not_kept), rule)

    assert {row.iccid for row in evidence.rows if row.status == "REFUSED"} == not_kept
    assert sum(row.status == "PROCESSED" for row in evidence.rows) == DEVICES - NOT_KEPT
    assert read_alone(evidence) >= not_kept
    check_all(evidence)


@pytest.mark.parametrize("rule", [Rule(name="list_moves", moved=7), Rule(name="list_unordered")])
def test_devices_that_a_page_missed_are_read_alone(world: World, rule: Rule) -> None:
    evidence = run_with(world, rule)

    assert set(evidence.statuses().values()) == {"PROCESSED"}
    assert {device.rate_plan for device in evidence.carrier.values()} == {NEW}
    assert len(read_alone(evidence)) < DEVICES / 2
    check_all(evidence)
