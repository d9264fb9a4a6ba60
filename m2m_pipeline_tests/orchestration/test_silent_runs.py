"""A run that holds no lease gives signs of life; one that gives none is ended, and its slot is free again."""

from collections.abc import Generator

import dagster as dg
import pytest

from m2m_pipeline.domain.alerts import AlertName
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline.orchestration.retention import retention
from m2m_pipeline.services import pulses
from m2m_pipeline_tests.faults.field import eventually
from m2m_pipeline_tests.faults.points import Point
from m2m_pipeline_tests.orchestration.dying import start_dying_run, wait_for_death
from m2m_pipeline_tests.orchestration.test_concurrency import SHIPPED, UPKEEP, add_upkeep, would_start
from m2m_pipeline_tests.orchestration.test_sweep_sensor import status_of, tick
from m2m_pipeline_tests.world import World

STARTED, CANCELING = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING
CANCELED, FAILURE = dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.FAILURE
IN_ITS_STEP = Point("m2m_pipeline.services.retention.Retention.purge_records", "before")


@pytest.fixture
def shipped() -> Generator[dg.DagsterInstance]:
    """Dagster on a disk, which other processes find, with what is shipped of limits and queue."""
    with dg.instance_for_test(overrides={name: SHIPPED[name] for name in ("concurrency", "run_coordinator")}) as made:
        yield made


def run_of(instance: dg.DagsterInstance, status: dg.DagsterRunStatus = STARTED) -> dg.DagsterRun:
    """A scheduled run, as Dagster has it."""
    return instance.create_run_for_job(retention, tags=retention.run_tags, status=status)


def silence(world: World) -> None:
    """As if all signs of life had been given longer ago than is borne."""
    world.sql("UPDATE m2m.heartbeat SET at = at - make_interval(secs => %s)", pulses.SILENCE_SECONDS)


def beaten(world: World, run: dg.DagsterRun) -> object | None:
    """When a run has given its last sign of life."""
    found = world.sql("SELECT at FROM m2m.heartbeat WHERE name = %s", f"run {run.run_id}")
    return found[0][0] if found else None


def told(world: World) -> list[tuple[str, str]]:
    """What the operators are told of, and where to look."""
    found = world.services.alerting.health().open_alerts
    assert {one.name for one in found} <= {AlertName.UPKEEP_FAILED}
    return [(one.subject, one.detail) for one in found]


def leave_a_sign(world: World, run: dg.DagsterRun) -> None:
    """The sign of life of a run that has died since."""
    world.sql("INSERT INTO m2m.heartbeat (name) VALUES (%s)", f"run {run.run_id}")
    silence(world)


@pytest.mark.usefixtures("later")
def test_scheduled_runs_that_died_with_their_host_give_their_slots_back_and_the_operators_are_told(
    world: World, platform: Platform, shipped: dg.DagsterInstance
) -> None:
    wait_for_death(start_dying_run(retention.name, IN_ITS_STEP))
    (in_its_step,) = shipped.get_runs()
    while_loading = run_of(shipped)
    add_upkeep(shipped, UPKEEP)
    assert status_of(shipped, in_its_step) is STARTED
    assert would_start(shipped) == {}, "Dagster knows of no death"

    silence(world)
    said = tick(platform, shipped)

    assert all(f"Run {run.run_id} was taken for dead" in said for run in (in_its_step, while_loading))
    assert would_start(shipped) == {"upkeep": UPKEEP}
    ((job, why),) = told(world)
    assert (job, why.startswith("Run ")) == ("retention", True)
    assert tick(platform, shipped) == "Nothing was abandoned."


def test_the_next_run_that_ends_well_resolves_what_was_told_of_a_dead_one(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    leave_a_sign(world, run_of(instance))
    tick(platform, instance)
    assert told(world)

    assert retention.execute_in_process(instance=instance, resources={"platform": platform}).success

    assert told(world) == []


@pytest.mark.usefixtures("later")
def test_a_run_that_gives_signs_of_life_is_alive_however_old(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    run = run_of(instance)
    with world.services.pulses.kept(run.run_id):
        eventually(lambda: beaten(world, run), "a sign of life")

        assert tick(platform, instance) == "Nothing was abandoned."
        assert status_of(instance, run) is STARTED

    assert beaten(world, run) is None


def test_a_run_that_has_just_begun_has_its_time_to_load(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    assert world
    run = run_of(instance)

    assert tick(platform, instance) == "Nothing was abandoned."
    assert status_of(instance, run) is STARTED


def test_one_that_was_being_terminated_is_ended_as_that(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    run = run_of(instance, CANCELING)
    leave_a_sign(world, run)
    tick(platform, instance)

    assert status_of(instance, run) is CANCELED
    assert told(world) == [], "somebody wanted it"


@pytest.mark.parametrize(("ended", "jobs"), [(FAILURE, ["retention"]), (CANCELED, []), (None, [])])
def test_of_a_death_that_dagster_has_seen_the_operators_are_told_too(
    world: World,
    platform: Platform,
    instance: dg.DagsterInstance,
    ended: dg.DagsterRunStatus | None,
    jobs: list[str],
) -> None:
    run = run_of(instance, ended or STARTED)
    leave_a_sign(world, run)
    if ended is None:
        instance.delete_run(run.run_id)
    tick(platform, instance)

    assert [job for job, _ in told(world)] == jobs
    assert beaten(world, run) is None


def test_a_run_goes_on_giving_signs_while_it_works_and_leaves_none(
    world: World, platform: Platform, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulses, "BEAT_SECONDS", 0.01)

    @dg.op
    def wait_for_two_signs(context: dg.OpExecutionContext, platform: Platform) -> None:
        assert platform.services
        first = eventually(lambda: beaten(world, context.run), "a sign of life")
        eventually(lambda: beaten(world, context.run) != first or None, "another one")

    @dg.job
    def work() -> None:
        wait_for_two_signs()

    assert work.execute_in_process(instance=instance, resources={"platform": platform}).success
    assert world.sql("SELECT name FROM m2m.heartbeat") == []
