"""The dispatch sensor: it reads the queue, asks for runs, and writes nothing."""

import dagster as dg
import pytest
from dagster._daemon.sensor import MIN_INTERVAL_LOOP_TIME

from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline.orchestration.sensors import dispatch_sensor
from m2m_pipeline.storage.database import DatabaseUnavailableError
from m2m_pipeline_tests.world import PROVIDER, TENANT, USERNAME, World

SENSOR = dispatch_sensor(5)


def tick(platform: Platform, instance: dg.DagsterInstance) -> dg.SensorResult:
    """What one look at the queue leads to."""
    with dg.build_sensor_context(instance=instance, resources={"platform": platform}) as context:
        result = SENSOR(context)
    assert isinstance(result, dg.SensorResult)
    return result


@pytest.mark.usefixtures("world")
def test_an_empty_queue_is_skipped_with_a_reason(platform: Platform, instance: dg.DagsterInstance) -> None:
    result = tick(platform, instance)

    assert not result.run_requests
    assert result.skip_reason is not None
    assert "queue is empty" in str(result.skip_reason.skip_message)


def test_a_database_that_does_not_answer_fails_the_tick_and_is_no_empty_queue(
    platform: Platform, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("M2M_DATABASE_URL", "postgresql+psycopg://m2m:none@127.0.0.1:1/m2m")

    with pytest.raises(DatabaseUnavailableError):
        tick(platform, instance)


def test_a_queued_change_is_one_run_with_its_id_attempt_and_priority(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    bulk_change_id = world.submit(priority=4).bulk_change_id
    (request,) = list(tick(platform, instance).run_requests or [])

    assert request.run_key == f"bulk-change-{bulk_change_id}-attempt-1"
    assert request.run_config == {"ops": {"validate_request": {"config": {"bulk_change_id": bulk_change_id}}}}
    tags = dict(request.tags)
    assert USERNAME not in tags.pop("m2m/account")
    assert tags == {
        "m2m/bulk_change": str(bulk_change_id),
        "m2m/attempt": "1",
        "m2m/tenant": TENANT,
        "m2m/provider": PROVIDER,
        "dagster/priority": "4",
    }


def test_the_more_urgent_change_is_asked_for_first(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    ids = [world.submit([iccid], priority=place).bulk_change_id for place, iccid in enumerate(world.iccids)]
    requests = tick(platform, instance).run_requests or ()

    assert [request.tags["m2m/bulk_change"] for request in requests] == [str(one) for one in reversed(ids)]


def test_a_change_gets_its_partition_in_the_catalog_with_its_run(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    bulk_change_id = world.submit().bulk_change_id
    (request,) = list(tick(platform, instance).dynamic_partitions_requests or [])

    assert (request.partitions_def_name, list(request.partition_keys)) == ("bulk_change", [str(bulk_change_id)])


def test_a_tick_that_is_lost_or_repeated_changes_nothing(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    world.submit()
    before = world.sql("SELECT * FROM m2m.bulk_change")
    first, second = tick(platform, instance), tick(platform, instance)

    assert first.run_requests == second.run_requests
    assert world.sql("SELECT * FROM m2m.bulk_change") == before


def test_a_change_that_waits_or_is_worked_on_is_not_asked_for(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    world.submit(world.iccids[:1], process_changes=False)
    taken = world.submit(world.iccids[1:]).bulk_change_id
    world.services.execution.claim(taken, "run-1")

    assert not tick(platform, instance).run_requests


def test_the_sensor_is_due_at_each_look_of_the_daemon() -> None:
    """Dagster looks every `MIN_INTERVAL_LOOP_TIME` seconds, a moment less than that after the tick before began."""
    assert SENSOR.minimum_interval_seconds is not None
    assert SENSOR.minimum_interval_seconds < MIN_INTERVAL_LOOP_TIME
