"""Drift: all that was planted is found, by its cause, and nothing else, within the calls of one listing."""

import json
from datetime import UTC, datetime, timedelta
from math import ceil

import pytest

from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.domain.drift import CAUSES, DriftCause
from m2m_pipeline.domain.notices import DestinationKind
from m2m_pipeline.simulator.documents import Drift
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.services.planting import found, pages, plant, read_alone
from m2m_pipeline_tests.world import NEW, OLD, TENANT, THIRD, Options, World

pytestmark = pytest.mark.usefixtures("quick_reads")

DEVICES = 5_000
EACH = 10  # of six causes: 1.2 % of the devices
SIGN_IN, SEARCH_FOR_THE_END = 1, 4


def find(world: World, *, full: bool = True) -> dict[DriftCause, int]:
    """A pass that comes to its end; the counts by cause."""
    before = len(world.control.calls())
    done = world.services.drifting.find(world.provider, full=full)
    assert done.stopped is None
    assert done.summary is not None
    assert done.summary.done
    assert done.summary.carrier_calls == len(world.control.calls()) - before
    return dict(done.counts)


def test_each_cause_is_found_and_told_apart_within_the_calls_of_one_listing(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=DEVICES))
    world.control.reset()
    planted = plant(world, EACH)

    find(world)

    assert found(world) == {cause: sorted(iccids) for cause, iccids in planted.items()}
    checked = [cause for cause in planted if cause not in {DriftCause.CHANGE_IN_PROGRESS, DriftCause.SCHEDULED}]
    assert sorted(read_alone(world)) == sorted(iccid for cause in checked for iccid in planted[cause])
    assert pages(world) <= ceil(DEVICES / 50) + SEARCH_FOR_THE_END + 2


def test_drift_is_told_when_it_comes_grows_and_goes_and_not_again_meanwhile(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=4))
    queue = "https://sqs.eu-west-1.amazonaws.com/1/drift"
    world.services.destinations.store(TENANT, DestinationKind.SQS, queue, None, "test")
    first, second, *_ = world.iccids

    def told() -> list[tuple[int, int, list[str]]]:
        """All that was told since this was asked last: devices that have drifted, new ones, causes."""
        bodies = world.sql("DELETE FROM m2m.notice WHERE event_type = 'drift.changed' RETURNING body")
        events = [json.loads(str(body))["data"] for (body,) in bodies]
        return [(one["drifted"], one["new"], [cause["cause"] for cause in one["causes"]]) for one in events]

    find(world)
    assert told() == []
    world.control.drift(first, Drift(rate_plan=THIRD))
    find(world)
    assert told() == [(1, 1, ["MADE_OUTSIDE"])]
    find(world)
    assert told() == []
    world.control.drift(second, Drift(rate_plan=THIRD))
    world.control.drift(first, Drift(rate_plan=OLD))
    find(world)
    assert told() == [(1, 1, ["MADE_OUTSIDE"])]
    world.control.drift(second, Drift(rate_plan=OLD))
    find(world)
    assert told() == [(0, 0, [])]


def test_where_nothing_differs_nothing_is_read_alone(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=120))

    assert find(world) == {}
    assert read_alone(world) == []


@pytest.mark.parametrize(("devices", "known"), [(1, 0), (49, 160), (50, 60), (51, 0), (100, 1), (100, 60), (149, 120)])
def test_the_end_of_the_list_is_found_however_wrong_our_idea_of_it_is(
    make_world: MakeWorld, devices: int, known: int
) -> None:
    world = make_world(Options(devices=devices))
    world.sql("DELETE FROM m2m.device")
    world.import_devices([f"89882167169799{number:05}" for number in range(known)])

    counts = find(world)

    assert counts == {
        cause: count for cause, count in ((DriftCause.DEVICE_GONE, known), (DriftCause.DEVICE_NEW, devices)) if count
    }


def test_between_full_passes_only_what_was_modified_is_listed(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=500))
    find(world)
    world.sql("UPDATE m2m.reconciliation_pass SET begun_at = begun_at + interval '5 minutes'")  # its margin
    world.control.drift(world.iccids[7], Drift(rate_plan=THIRD))
    before = len(world.control.calls())

    assert find(world, full=False) == {DriftCause.MADE_OUTSIDE: 1}
    assert pages(world, before) <= 2
    assert read_alone(world, before) == [world.iccids[7]]


def test_what_is_over_is_closed_with_how(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=4))
    back, followed, gone, _ = world.iccids
    for iccid in (back, followed):
        world.control.drift(iccid, Drift(rate_plan=THIRD))
    world.import_devices(["8988216716979900000"])
    world.sql("DELETE FROM m2m.device WHERE iccid = %s", gone)
    assert sum(find(world).values()) == 4

    world.control.drift(back, Drift(rate_plan=OLD))
    world.sql("UPDATE m2m.device SET rate_plan = %s WHERE iccid = %s", THIRD, followed)
    world.sql("DELETE FROM m2m.device WHERE iccid = '8988216716979900000'")
    world.import_devices([gone])

    assert find(world) == {}
    resolutions = {iccid: how for iccid, how in world.sql("SELECT iccid, resolution FROM m2m.drift")}  # noqa: C416 -- types
    assert resolutions == {
        back: "CARRIER_RETURNED",
        followed: "AMOP_FOLLOWED",
        "8988216716979900000": "GONE_FROM_BOTH",
        gone: "AMOP_FOLLOWED",
    }


def test_a_difference_that_lasts_is_one_record_with_its_first_and_last_moment(world: World) -> None:
    world.control.drift(world.iccids[0], Drift(rate_plan=THIRD))
    find(world)
    find(world)

    ((first, last, plan),) = world.sql("SELECT first_seen_at, last_seen_at, carrier_rate_plan FROM m2m.drift")
    assert first < last  # pyright: ignore[reportOperatorIssue] -- moments
    assert plan == THIRD


def test_the_trend_goes_on_until_today_where_nothing_has_moved_for_days(world: World) -> None:
    world.control.drift(world.iccids[0], Drift(rate_plan=THIRD))
    find(world)
    world.sql("UPDATE m2m.drift SET first_seen_at = first_seen_at - interval '20 days'")
    today = datetime.now(UTC).date()

    trend = world.services.statistics.drift(world.provider).trend

    assert trend.index[-1] in {today, datetime.now(UTC).date()}
    assert trend.index[0] <= today - timedelta(days=20)
    assert trend.to_dict("list") == {"MADE_OUTSIDE": [1] * len(trend)}


def test_a_communication_plan_alone_is_a_difference_too(world: World) -> None:
    world.control.drift(world.iccids[1], Drift(communication_plan="Comm New"))

    assert find(world) == {DriftCause.MADE_OUTSIDE: 1}


def test_a_device_of_a_neighbouring_provider_on_the_same_account_is_not_new(world: World) -> None:
    other = world.services.accounts.configure("acme", "other", world.provider_settings(), actor="test")
    world.sql("UPDATE m2m.device SET service_provider_id = %s WHERE iccid = %s", other.id, world.iccids[0])

    assert find(world) == {}


def test_a_device_that_was_new_is_over_once_a_neighbouring_provider_has_it(world: World) -> None:
    world.sql("DELETE FROM m2m.device WHERE iccid = %s", world.iccids[0])
    assert find(world) == {DriftCause.DEVICE_NEW: 1}

    other = world.services.accounts.configure("acme", "other", world.provider_settings(), actor="test")
    world.services.accounts.import_devices(other, [DeviceReading(world.iccids[0], OLD, None)])

    assert find(world, full=False) == {}
    assert world.sql("SELECT resolution FROM m2m.drift") == [("AMOP_FOLLOWED",)]


def test_a_change_of_our_own_is_no_drift_before_during_or_after(world: World) -> None:
    bulk_change_id = world.submit(batch_size=3).bulk_change_id
    (batch,) = world.prepare(bulk_change_id)
    assert find(world) == {}
    world.services.execution.change_devices(batch, "run-1", read_ahead=False)
    assert find(world) == {DriftCause.CHANGE_IN_PROGRESS: 3}
    world.services.execution.update_amop(batch, "run-1")
    world.services.execution.finalize(bulk_change_id, "run-1")
    assert find(world) == {}
    assert world.sql("SELECT DISTINCT resolution FROM m2m.drift") == [("AMOP_FOLLOWED",)]
    assert world.sql("SELECT DISTINCT rate_plan FROM m2m.device") == [(NEW,)]


def test_a_change_that_nobody_has_started_explains_no_difference(world: World) -> None:
    first, second, _ = world.iccids
    world.control.drift(first, Drift(rate_plan=THIRD))
    world.control.drift(second, Drift(rate_plan=THIRD))
    started = world.submit([first], process_changes=False).bulk_change_id
    world.submit([second], process_changes=False)
    assert find(world) == {DriftCause.MADE_OUTSIDE: 2}

    world.services.submission.process(TENANT, started, "starter")

    assert find(world) == {DriftCause.CHANGE_IN_PROGRESS: 1, DriftCause.MADE_OUTSIDE: 1}


def test_more_differences_than_one_pass_may_check_are_left_to_the_next_and_none_for_ever(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("m2m_pipeline.services.drift.checking.LEAST_CHECKS", 4)
    world = make_world(Options(devices=10))
    for iccid in world.iccids:
        world.control.drift(iccid, Drift(rate_plan=THIRD))

    left = []
    for _ in range(3):
        done = world.services.drifting.find(world.provider, full=True)
        assert done.summary
        left.append((done.counts[DriftCause.MADE_OUTSIDE], done.summary.unchecked))

    assert left == [(4, 6), (8, 6), (10, 6)]


def test_every_cause_says_what_it_means_and_what_to_do() -> None:
    assert set(CAUSES) == set(DriftCause)
    assert all(one.title and one.next_step.endswith(".") for one in CAUSES.values())
