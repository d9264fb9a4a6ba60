"""The sweep sensor: what Dagster knows of runs, and what the rows know of leases, put together."""

from collections.abc import Mapping

import dagster as dg
import pytest

from m2m_pipeline.orchestration.jobs import bulk_carrier_rate_plan_change as job
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline.orchestration.sensors import run_request
from m2m_pipeline.orchestration.sweeping import sweep_sensor
from m2m_pipeline.services.sweeping import MAX_ATTEMPTS, Sweeping
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.orchestration.ends import assert_told_in_full
from m2m_pipeline_tests.world import TENANT, World

SENSOR = sweep_sensor(30)
ENDED = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
BELIEVED_ALIVE = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)


def tick(platform: Platform, instance: dg.DagsterInstance) -> str:
    """One look of the sweeper; what it says."""
    with dg.build_sensor_context(instance=instance, resources={"platform": platform}) as context:
        result = SENSOR(context)
    assert isinstance(result, dg.SkipReason)
    return str(result.skip_message)


def dispatched(world: World, instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    """The run that the dispatch sensor asks for, as Dagster has it."""
    (queued,) = world.services.queue.head()
    request = run_request(queued)
    return instance.create_run_for_job(job, run_config=request.run_config, tags=request.tags, status=status)


def queue_of(world: World) -> Mapping[int, int]:
    return {one.id: one.attempt for one in world.services.queue.head()}


def status_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    now = instance.get_run_by_id(run.run_id)
    assert now is not None
    return now.status


def silence(world: World, minutes: int = 10) -> None:
    """As if all that happened had happened that long ago."""
    for column in ("created_at", "queued_at", "attempt_queued_at", "lease_expires_at"):
        world.sql(f"UPDATE m2m.bulk_change SET {column} = {column} - interval '{minutes} min'")


@pytest.mark.usefixtures("world")
def test_where_all_is_well_nothing_is_done(platform: Platform, instance: dg.DagsterInstance) -> None:
    assert tick(platform, instance) == "Nothing was abandoned."


def test_an_attempt_whose_lease_ran_out_is_followed_by_the_next(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    bulk_change_id = world.submit().bulk_change_id
    world.prepare(bulk_change_id)
    silence(world)

    assert "attempt 1 was given up" in tick(platform, instance)
    assert queue_of(world) == {bulk_change_id: 2}


@pytest.mark.parametrize("status", ENDED)
def test_a_dispatch_whose_run_ended_before_it_took_the_change_is_followed_by_another(
    world: World, platform: Platform, instance: dg.DagsterInstance, status: dg.DagsterRunStatus
) -> None:
    bulk_change_id = world.submit().bulk_change_id
    dispatched(world, instance, status)

    assert "attempt 1 was given up" in tick(platform, instance)
    assert queue_of(world) == {bulk_change_id: 2}
    assert tick(platform, instance) == "Nothing was abandoned."
    assert queue_of(world) == {bulk_change_id: 2}


def test_a_dispatch_whose_run_is_still_to_come_is_waited_for(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    bulk_change_id = world.submit().bulk_change_id
    assert tick(platform, instance) == "Nothing was abandoned."
    dispatched(world, instance, dg.DagsterRunStatus.FAILURE)
    dispatched(world, instance, dg.DagsterRunStatus.NOT_STARTED)

    assert tick(platform, instance) == "Nothing was abandoned."
    assert queue_of(world) == {bulk_change_id: 1}


def test_a_dispatch_that_is_lost_each_time_ends_the_change_and_the_catalog_shows_it(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    bulk_change_id = world.submit().bulk_change_id
    lose_every_dispatch(world, platform, instance)

    assert queue_of(world) == {}
    check_all(world.evidence(bulk_change_id))
    assert_told_in_full(instance, bulk_change_id)


def test_a_change_that_ends_so_again_after_a_retry_is_shown_again(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    bulk_change_id = world.submit().bulk_change_id
    lose_every_dispatch(world, platform, instance)
    world.services.retrying.retry(TENANT, bulk_change_id, "operator")

    lose_every_dispatch(world, platform, instance)

    assert queue_of(world) == {}
    assert_told_in_full(instance, bulk_change_id)


def lose_every_dispatch(world: World, platform: Platform, instance: dg.DagsterInstance) -> None:
    for _ in range(MAX_ATTEMPTS):
        dispatched(world, instance, dg.DagsterRunStatus.FAILURE)
        tick(platform, instance)


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("status", BELIEVED_ALIVE)
def test_a_run_on_a_dead_host_is_ended_in_dagster_and_followed_by_the_next(
    world: World, platform: Platform, instance: dg.DagsterInstance, status: dg.DagsterRunStatus
) -> None:
    bulk_change_id = world.submit().bulk_change_id
    run = dispatched(world, instance, status)
    world.prepare(bulk_change_id, run.run_id)
    silence(world)

    assert f"Run {run.run_id} was taken for dead" in tick(platform, instance)
    canceling = status is dg.DagsterRunStatus.CANCELING
    assert status_of(instance, run) is (dg.DagsterRunStatus.CANCELED if canceling else dg.DagsterRunStatus.FAILURE)
    assert queue_of(world) == {bulk_change_id: 2}
    assert tick(platform, instance) == "Nothing was abandoned."


@pytest.mark.usefixtures("later")
def test_a_run_that_died_before_it_took_the_change_is_ended_and_followed_in_one_tick(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    bulk_change_id = world.submit().bulk_change_id
    run = dispatched(world, instance, dg.DagsterRunStatus.STARTED)
    silence(world)
    tick(platform, instance)

    assert status_of(instance, run) is dg.DagsterRunStatus.FAILURE
    assert queue_of(world) == {bulk_change_id: 2}


@pytest.mark.usefixtures("later")
def test_a_run_that_was_superseded_long_ago_is_ended_and_its_successor_is_not(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    bulk_change_id = world.submit().bulk_change_id
    old = dispatched(world, instance, dg.DagsterRunStatus.STARTED)
    world.services.execution.claim(bulk_change_id, old.run_id)
    silence(world)
    list(world.services.sweeping.sweep_leases())
    new = dispatched(world, instance, dg.DagsterRunStatus.STARTED)
    silence(world)
    world.services.execution.claim(bulk_change_id, new.run_id)
    tick(platform, instance)

    assert status_of(instance, old) is dg.DagsterRunStatus.FAILURE
    assert status_of(instance, new) is dg.DagsterRunStatus.STARTED


@pytest.mark.usefixtures("later")
def test_a_run_that_ends_while_the_sweeper_looks_keeps_its_end(
    world: World, platform: Platform, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk_change_id = world.submit().bulk_change_id
    run = dispatched(world, instance, dg.DagsterRunStatus.STARTED)
    world.prepare(bulk_change_id, run.run_id)
    silence(world)
    disown = Sweeping.disown

    def ends_meanwhile(sweeping: Sweeping, id_: int, owner: str) -> bool:
        instance.report_run_canceled(run)
        return disown(sweeping, id_, owner)

    monkeypatch.setattr(Sweeping, "disown", ends_meanwhile)

    assert f"Run {run.run_id} was taken for dead" not in tick(platform, instance)
    assert status_of(instance, run) is dg.DagsterRunStatus.CANCELED


def test_a_run_that_has_just_begun_has_its_time_to_take_the_change(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    world.submit()
    run = dispatched(world, instance, dg.DagsterRunStatus.STARTED)
    silence(world)

    assert tick(platform, instance) == "Nothing was abandoned."
    assert status_of(instance, run) is dg.DagsterRunStatus.STARTED


@pytest.mark.usefixtures("later")
def test_a_run_that_holds_its_lease_is_alive_however_old(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    bulk_change_id = world.submit().bulk_change_id
    run = dispatched(world, instance, dg.DagsterRunStatus.STARTED)
    silence(world)
    world.prepare(bulk_change_id, run.run_id)

    assert tick(platform, instance) == "Nothing was abandoned."
    assert status_of(instance, run) is dg.DagsterRunStatus.STARTED


@pytest.mark.usefixtures("later")
def test_a_run_that_was_launched_by_hand_is_known_by_its_configuration(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    bulk_change_id = world.submit().bulk_change_id
    config = {"ops": {"validate_request": {"config": {"bulk_change_id": bulk_change_id}}}}
    run = instance.create_run_for_job(job, run_config=config, status=dg.DagsterRunStatus.STARTED)
    world.services.execution.claim(bulk_change_id, run.run_id)
    silence(world)
    tick(platform, instance)

    assert status_of(instance, run) is dg.DagsterRunStatus.FAILURE


@pytest.mark.usefixtures("later", "world")
def test_a_run_that_died_with_an_id_that_no_change_has_gives_its_slot_back(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    """Alive, it would long have failed by itself."""
    unknown = {"ops": {"validate_request": {"config": {"bulk_change_id": 404}}}}
    run = instance.create_run_for_job(job, run_config=unknown, status=dg.DagsterRunStatus.STARTED)

    assert tick(platform, instance) == f"Run {run.run_id} was taken for dead."
    assert status_of(instance, run) is dg.DagsterRunStatus.FAILURE
