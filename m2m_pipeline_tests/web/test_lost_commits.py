"""The connection to the database breaks around the commit of a request: the answer is what is recorded."""

import time
from collections.abc import Generator
from dataclasses import dataclass

import pytest
import stamina
from sqlalchemy import make_url

from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline.storage.database import SHORT_PATIENCE_SECONDS
from m2m_pipeline_tests.faults.proxy import Fault, Harm, Outage, Proxy, proxy_before
from m2m_pipeline_tests.web.door import Door, open_door
from m2m_pipeline_tests.world import World

CHANGES = "/api/v1/bulk-changes"
RECORDING = b"INSERT INTO m2m.bulk_change"


@dataclass(frozen=True)
class Wired:
    """A front door whose way to the database can be cut."""

    door: Door
    proxy: Proxy

    def strike(self, fault: Fault) -> None:
        self.proxy.fault = fault


@pytest.fixture
def wired(world: World) -> Generator[Wired]:
    direct = make_url(world.database_url)
    with proxy_before(str(direct.host), int(direct.port or 0)) as proxy:
        by_detour = direct.set(port=proxy.port).render_as_string(hide_password=False)
        usual, world.database_url = world.database_url, by_detour
        world.services.close()
        world.services = world.application()
        world.database_url = usual
        with open_door(world) as door, stamina.set_testing(True, attempts=2):
            yield Wired(door, proxy)
        world.services.close()


def test_a_commit_whose_answer_is_lost_is_looked_up_and_told(wired: Wired) -> None:
    fault = Fault(Harm.LOSE_ANSWER, b"COMMIT", after=RECORDING)
    wired.strike(fault)
    answer = wired.door.as_().post(CHANGES, json=wired.door.request())
    assert fault.struck == 1
    assert (answer.status_code, answer.json()["status"]) == (202, "QUEUED")
    assert wired.door.world.count("bulk_change") == 1


@pytest.mark.parametrize("harm", [Harm.LOSE_ANSWER, Harm.CUT_BEFORE])
@pytest.mark.parametrize("deed", ["process", "retry"])
def test_what_became_of_a_start_and_of_a_retry_is_looked_up_too(wired: Wired, deed: str, harm: Harm) -> None:
    world = wired.door.world
    if deed == "process":
        change = world.submit(process_changes=False).bulk_change_id
    else:
        world.trouble(Rule(name="device_refused", iccids=frozenset(world.iccids)))
        change = world.submit_and_run()[0].id
    ((before,),) = world.sql("SELECT status FROM m2m.bulk_change")
    wired.strike(Fault(harm, b"COMMIT", after=b"UPDATE m2m.bulk_change"))
    answer = wired.door.as_().post(f"{CHANGES}/{change}/{deed}")
    told, left = (202, "QUEUED") if harm is Harm.LOSE_ANSWER else (503, before)
    assert (answer.status_code, world.sql("SELECT status FROM m2m.bulk_change")) == (told, [(left,)])
    if told != 202:
        assert answer.json()["type"] == "urn:m2m:problem:database-unavailable"


def test_a_client_waits_seconds_for_what_became_of_a_commit_and_no_minute(wired: Wired) -> None:
    wired.strike(Outage(Harm.CUT_BEFORE, b"COMMIT", after=RECORDING))
    began = time.monotonic()
    with stamina.set_testing(False):
        answer = wired.door.as_().post(CHANGES, json=wired.door.request())
    assert answer.json()["type"] == "urn:m2m:problem:commit-unknown"
    assert time.monotonic() - began < 2 * SHORT_PATIENCE_SECONDS


def test_a_commit_that_does_not_arrive_is_503_and_nothing_is_recorded(wired: Wired) -> None:
    fault = Fault(Harm.CUT_BEFORE, b"COMMIT", after=RECORDING)
    wired.strike(fault)
    answer = wired.door.as_().post(CHANGES, json=wired.door.request())
    assert fault.struck == 1
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:m2m:problem:database-unavailable")
    assert answer.headers["retry-after"]
    assert "Nothing was recorded" in answer.json()["detail"]
    assert wired.door.world.count("bulk_change") == 0


def test_a_database_that_fails_after_the_commit_takes_nothing_back_from_the_answer(wired: Wired) -> None:
    fault = Outage(Harm.CUT_BEFORE, b"COMMIT", after=RECORDING, spared=True)
    wired.strike(fault)
    answer = wired.door.as_().post(CHANGES, json=wired.door.request())
    assert fault.struck == 1
    assert (answer.status_code, answer.json()["devices"]) == (202, 3)


@pytest.mark.parametrize(("harm", "recorded"), [(Harm.LOSE_ANSWER, 1), (Harm.CUT_BEFORE, 0)])
def test_what_cannot_be_known_is_told_as_that_and_the_same_key_settles_it(
    wired: Wired, harm: Harm, recorded: int
) -> None:
    wired.strike(Outage(harm, b"COMMIT", after=RECORDING))
    client, headers = wired.door.as_(), {"Idempotency-Key": "k1"}
    answer = client.post(CHANGES, json=wired.door.request(), headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:m2m:problem:commit-unknown")
    assert answer.headers["retry-after"]
    assert "othing was recorded" not in answer.text
    assert wired.door.world.count("bulk_change") == recorded
    wired.proxy.fault = None
    again = client.post(CHANGES, json=wired.door.request(), headers=headers)
    assert (again.status_code, again.headers.get("idempotency-replayed")) == (202, "true" if recorded else None)
    assert wired.door.world.count("bulk_change") == 1
