"""What slows a bulk change down is told to the operator: a tightened limit, a rest, an outage."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from m2m_pipeline.services import paced
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.cli.conftest import OURS, Shell
from m2m_pipeline_tests.local.waiting import wait_until
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import Options, World

WIDTH = 80
CONFIGURED = 40.0


@pytest.fixture
def world(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(paced, "READ_BACKOFF_SECONDS", 0.01)
    return make_world(Options(devices=40, calls_per_second=CONFIGURED, in_flight=8, patience=0.3, probe=20.0))


def standing(m2m: Shell) -> dict[str, float | None]:
    (provider,) = json.loads(m2m("provider", "list", "--json", *OURS).out)
    told: dict[str, float | None] = provider["standing"]
    return told


def test_an_account_without_trouble_stands_as_configured(m2m: Shell, world: World) -> None:
    unused = m2m("provider", "list", *OURS).out
    bulk_change_id = str(world.half_done(Rule(name="hang", calls=1, skip_calls=10_000)))
    used = m2m("provider", "list", *OURS).out

    assert unused == used
    assert "configured  40 calls/s, 8 in flight, verify pages, writes enabled" in used
    assert re.search(r"pace now +as configured\n +in flight +0\n +breaker +closed\n", used)
    assert m2m("status", bulk_change_id, *OURS).out.count("\n") == 1
    assert json.loads(m2m("status", bulk_change_id, "--json", *OURS).out)["account"]["slowed_for"] is None


def test_a_limit_that_the_carrier_tightened_is_shown_while_it_is_learned(m2m: Shell, world: World) -> None:
    bulk_change_id = str(world.half_done(Rule(name="limit_tightened", calls_per_second=8)))
    told = standing(m2m)
    listed = m2m("provider", "list", *OURS).out
    status = m2m("status", bulk_change_id, *OURS).out.splitlines()

    assert told["configured"] == CONFIGURED
    assert told["pace"] is not None
    assert 3 < told["pace"] < 0.8 * CONFIGURED
    assert told["slowed_for"] is not None
    assert told["recovers_in"] is not None
    assert told["slowed_for"] < 5 < told["recovers_in"]
    assert re.search(r"pace now +[\d.]+ calls/s: slowed down \d+ s ago, at 40 again in \d+ s\n", listed)
    assert re.fullmatch(r"The carrier allows [\d.]+ calls/s at the moment \(configured: 40\)\.", status[1])
    assert all(len(line) <= WIDTH for line in [*listed.splitlines()[1:], *status[1:]])
    account = json.loads(m2m("status", bulk_change_id, "--json", *OURS).out)["account"]
    assert account.keys() == told.keys()
    assert account["pace"] == pytest.approx(told["pace"], rel=0.2)


def test_a_rest_that_the_carrier_asked_for_is_told_with_its_end(m2m: Shell, world: World) -> None:
    bulk_change_id = world.submit(batch_size=40).bulk_change_id
    world.prepare(bulk_change_id)
    world.trouble(Rule(name="rate_limited", retry_after_s=50))
    with replace(m2m, inside=False).start("devices", "sync", "--provider", world.provider.name, *OURS) as waiting:
        wait_until(lambda: standing(m2m)["rests_for"] is not None, "the rest is known")
        waiting.kill()
        waiting.communicate()

    listed = m2m("provider", "list", *OURS).out
    said = m2m("status", str(bulk_change_id), *OURS).out.splitlines()[1]
    assert re.search(r"pace now +none: the carrier asked for a rest of (50|4\d) s more\n", listed)
    assert re.fullmatch(r"The carrier asked for a rest: next call in (50|4\d) s\.", said)


def test_a_carrier_that_does_not_answer_is_told_with_the_next_try(m2m: Shell, world: World) -> None:
    bulk_change_id = str(world.half_done(Rule(name="outage")))
    told = standing(m2m)
    listed = m2m("provider", "list", *OURS).out
    said = m2m("status", bulk_change_id, *OURS).out.splitlines()[1]

    assert told["open_for"] is not None
    assert told["probe_in"] is not None
    assert told["open_for"] + told["probe_in"] == pytest.approx(20.0, abs=0.2)
    assert re.search(r"breaker +open for \d+ s: no answer; next try in (20|1\d) s\n", listed)
    assert re.fullmatch(r"The carrier does not answer: next try in (20|1\d) s\.", said)


def test_a_bulk_change_that_has_ended_says_nothing_of_the_account(m2m: Shell, world: World) -> None:
    bulk_change_id = str(world.half_done(Rule(name="outage")))
    world.services.execution.finalize(int(bulk_change_id), "run-1")

    assert m2m("status", bulk_change_id, *OURS).out.count("\n") == 1
    assert json.loads(m2m("status", bulk_change_id, "--json", *OURS).out)["account"] is None


def test_the_account_is_read_while_a_run_decides_on_it(m2m: Shell, world: World, tmp_path: Path) -> None:
    del m2m
    shell = replace(Shell(tmp_path, {"M2M_DATABASE_URL": world.database_url}), inside=True)
    world.half_done(Rule(name="limit_tightened", calls_per_second=20))
    with world.services.database.begin() as tx:
        tx.exec_driver_sql("SELECT 1 FROM m2m.carrier_gate FOR UPDATE")
        assert shell("provider", "list", *OURS).status == 0


def test_a_change_that_rests_after_attempts_that_came_to_nothing_says_so(m2m: Shell, world: World) -> None:
    bulk_change_id = str(world.submit().bulk_change_id)
    world.sql("UPDATE m2m.bulk_change SET fruitless_attempts = 3")
    _, told = m2m("status", bulk_change_id, *OURS).out.splitlines()

    assert re.fullmatch(r"Its last attempts came to nothing: the next one begins in (2\d\d|300) s\.", told)
    assert 290 < json.loads(m2m("status", bulk_change_id, "--json", *OURS).out)["rests_for"] <= 300
