"""What holds an account up is told on every page, by what the runs themselves have learned of the carrier."""

import re
from collections.abc import Generator

import pytest

from m2m_pipeline.services import paced
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.page.visitors import Visitor, visitor
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.web.door import Door
from m2m_pipeline_tests.world import Options, World

UNANSWERED = r"The carrier has not answered for [^.]+\. Running changes wait\. One call tries again (now|in [^.]+)\."
SLOWED = r"The carrier asked to slow down: ([\d.]+) of 40 calls a second for now\. Full speed in about [^.]+\."
HELD_UP = re.compile(f"{UNANSWERED}|{SLOWED}|The carrier asked for a pause")


@pytest.fixture
def world(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(paced, "READ_BACKOFF_SECONDS", 0.01)
    return make_world(Options(devices=40, calls_per_second=40.0, in_flight=8, patience=0.3, probe=60.0))


@pytest.fixture
def operator(door: Door) -> Generator[Visitor]:
    with visitor(door.url) as known:
        yield known


def pages(bulk_change_id: int) -> list[str]:
    return ["/", "/new", "/accounts", f"/changes/{bulk_change_id}"]


def followed(operator: Visitor, bulk_change_id: int) -> str:
    """What the open page of a running change is told next."""
    with operator.client.stream("GET", f"/changes/{bulk_change_id}/events") as events:
        return next(events.iter_lines())


def test_an_account_that_is_as_usual_has_no_banner(operator: Visitor, world: World) -> None:
    bulk_change_id = world.half_done(Rule(name="hang", calls=1, skip_calls=10_000))
    for path in pages(bulk_change_id):
        assert not HELD_UP.search(operator.get(path).text), path


def test_a_carrier_that_does_not_answer_is_told_on_every_page(operator: Visitor, world: World) -> None:
    bulk_change_id = world.half_done(Rule(name="outage"))
    for path in pages(bulk_change_id):
        assert re.search(UNANSWERED, operator.get(path).text), path
    told = followed(operator, bulk_change_id)
    assert re.search(UNANSWERED, told)
    assert '"left": "waits for the carrier"' in told


def test_a_carrier_that_asked_to_slow_down_is_told_on_every_page(operator: Visitor, world: World) -> None:
    bulk_change_id = world.half_done(Rule(name="limit_tightened", calls_per_second=8))
    for path in pages(bulk_change_id):
        found = re.search(SLOWED, operator.get(path).text)
        assert found, path
        assert 0 < float(found[1]) < 40
    assert re.search(SLOWED, followed(operator, bulk_change_id))
