"""While the daemon is dead, the web process tells the operators so, and of its return; several of them tell it once."""

import threading
from collections.abc import Generator

import pytest

from m2m_pipeline.bootstrap import Application
from m2m_pipeline.domain.alerts import SILENCE_LIMIT_SECONDS, AlertName
from m2m_pipeline.domain.notices import DestinationKind
from m2m_pipeline.services import guarding
from m2m_pipeline.services.guarding import Guard
from m2m_pipeline_tests.notices.conftest import Stand, application
from m2m_pipeline_tests.world import World


@pytest.fixture
def processes(stand: Stand) -> Generator[list[Application]]:
    """Two processes of the front door; the operators have a webhook, and the daemon has ticked."""
    stand.services.destinations.store(None, DestinationKind.WEBHOOK, f"{stand.receiver.url}/ops", None, "test")
    stand.services.alerting.watch()
    opened = [application(stand.world, webhook_hosts=stand.receiver.host) for _ in range(2)]
    yield opened
    for one in opened:
        one.close()


def die(world: World) -> None:
    """As if the daemon had died that long ago."""
    world.sql("UPDATE m2m.heartbeat SET at = at - make_interval(secs => %s)", SILENCE_LIMIT_SECONDS + 1)


def guards(processes: list[Application]) -> list[Guard]:
    return [Guard(one.alerting, one.outbox) for one in processes]


def test_a_watcher_that_is_silent_is_told_once_and_so_is_its_return(stand: Stand, processes: list[Application]) -> None:
    watching = guards(processes)
    stand.end_a_change()
    die(stand.world)
    for _ in range(2):
        threads = [threading.Thread(target=one.look) for one in watching]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    (told,) = stand.receiver.deliveries
    assert told.path == "/hook/ops", "a tenant's notices wait for the daemon"
    assert told.event["type"] == "alert.raised"
    assert told.event["data"]["name"] == AlertName.PLATFORM_SILENT
    assert "m2m health" in told.event["data"]["text"]

    stand.services.alerting.watch()
    for one in watching:
        one.look()

    assert [one.event["type"] for one in stand.receiver.deliveries] == ["alert.raised", "alert.resolved"]
    assert stand.services.alerting.health().open_alerts == []


def test_a_receiver_that_fails_is_tried_again_at_a_later_look(stand: Stand, processes: list[Application]) -> None:
    guard, _ = guards(processes)
    die(stand.world)
    stand.receiver.status = 503
    guard.look()
    stand.receiver.status = 200
    stand.pass_time(0.1)
    guard.look()

    assert len(stand.receiver.deliveries) == 2
    assert stand.statuses() == ["DELIVERED"]


def test_a_watcher_that_never_ticked_is_missed_after_the_same_time(world: World) -> None:
    miss = world.services.alerting.miss_the_watcher

    assert not miss(SILENCE_LIMIT_SECONDS - 1)
    assert miss(SILENCE_LIMIT_SECONDS)


def test_a_look_that_fails_does_not_end_the_looks(
    stand: Stand, processes: list[Application], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarding, "LOOK_SECONDS", 0.01)
    heard = threading.Event()
    stand.receiver.slowly = heard.set
    die(stand.world)
    stand.world.sql("ALTER TABLE m2m.heartbeat RENAME TO nowhere")
    guard, _ = guards(processes)
    with guard:
        assert not heard.wait(0.2)
        stand.world.sql("ALTER TABLE m2m.nowhere RENAME TO heartbeat")
        assert heard.wait(10)
    guard._thread.join(10)  # a process that ends does not wait for its look; here its connection has to come back
