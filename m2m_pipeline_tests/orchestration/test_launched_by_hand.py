"""The launchpad takes any id: what a run makes of one that is not its to work on, and who is told."""

from collections.abc import Callable

import dagster as dg
import pytest

from m2m_pipeline.orchestration.jobs import bulk_carrier_rate_plan_change
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline_tests.orchestration.test_job import execute, failure_of
from m2m_pipeline_tests.orchestration.test_reexecution import left
from m2m_pipeline_tests.world import TENANT, Options, World

BEYOND_BIGINT = 2**63


def quiet(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance) -> str:
    """What a run says that has succeeded and done nothing."""
    assert result.success
    assert [event.step_key for event in result.all_events if event.is_step_success] == ["validate_request"]
    return "\n".join(entry.message for entry in instance.all_logs(result.run_id))


@pytest.mark.parametrize("bulk_change_id", [4711, 0, -1, BEYOND_BIGINT, -BEYOND_BIGINT - 1])
def test_a_run_for_a_change_that_is_not_there_fails_and_says_what_to_do(
    platform: Platform, instance: dg.DagsterInstance, world: World, bulk_change_id: int
) -> None:
    before = left(world)

    step, words = failure_of(execute(bulk_change_id, platform, instance))

    assert step == "validate_request"
    assert words == (
        f"There is no bulk change {bulk_change_id}. Nothing was done. Trying this run again does not help: launch it "
        "with the number of one that there is, as `m2m submit` prints it and the page and the catalog list them."
    )
    assert left(world) == before


@pytest.mark.parametrize("no_number", ["abc", "4711", 4711.0, True, None])
def test_what_is_no_number_makes_no_run(no_number: object) -> None:
    config = {"ops": {"validate_request": {"config": {"bulk_change_id": no_number}}}}

    with pytest.raises(dg.DagsterInvalidConfigError):
        dg.validate_run_config(bulk_carrier_rate_plan_change, config)


def test_a_change_that_nobody_has_started_is_started_by_no_run_and_the_run_says_who_does(
    platform: Platform, instance: dg.DagsterInstance, world: World
) -> None:
    bulk_change_id = world.submit(process_changes=False).bulk_change_id
    before = left(world)

    step, words = failure_of(execute(bulk_change_id, platform, instance))

    assert step == "validate_request"
    assert words == (
        f"Bulk change {bulk_change_id} is NEW: nobody has started it. Nothing was done. Trying this run again does not "
        f"help: `m2m process {bulk_change_id} --tenant {TENANT}` starts it, in a run of its own, and "
        f"`m2m withdraw {bulk_change_id} --tenant {TENANT}` declines it."
    )
    assert left(world) == before


def test_a_change_that_was_withdrawn_has_ended_and_its_run_does_nothing(
    platform: Platform, instance: dg.DagsterInstance, world: World
) -> None:
    bulk_change_id = world.submit(process_changes=False).bulk_change_id
    world.services.withdrawing.withdraw(TENANT, bulk_change_id, "test")
    before = left(world)

    told = quiet(execute(bulk_change_id, platform, instance), instance)

    assert f"Bulk change {bulk_change_id} has ended as REJECTED: nothing to do." in told
    assert left(world) == before


def test_a_change_that_another_run_holds_is_left_to_it(
    platform: Platform, instance: dg.DagsterInstance, world: World
) -> None:
    bulk_change_id = world.submit().bulk_change_id
    world.services.execution.claim(bulk_change_id, "another run")
    before = left(world)

    told = quiet(execute(bulk_change_id, platform, instance), instance)

    assert f"Bulk change {bulk_change_id} is being worked on by run another run: nothing was done here." in told
    assert left(world) == before


def test_a_change_that_has_to_wait_for_another_is_left_to_the_queue(
    platform: Platform, instance: dg.DagsterInstance, make_world: Callable[[Options], World]
) -> None:
    world = make_world(Options(overlap="wait"))
    earlier = world.submit().bulk_change_id
    bulk_change_id = world.submit().bulk_change_id
    before = left(world)

    told = quiet(execute(bulk_change_id, platform, instance), instance)

    assert f"Bulk change {bulk_change_id} waits for bulk change {earlier}, which has devices of it" in told
    assert left(world) == before


def test_a_run_whose_label_names_another_change_than_its_configuration_does_nothing(
    platform: Platform, instance: dg.DagsterInstance, world: World
) -> None:
    """As when an old run is opened in the launchpad and only the id is replaced: Dagster keeps what it was tagged."""
    bulk_change_id = world.submit().bulk_change_id
    before = left(world)
    result = bulk_carrier_rate_plan_change.execute_in_process(
        run_config={"ops": {"validate_request": {"config": {"bulk_change_id": bulk_change_id}}}},
        resources={"platform": platform},
        instance=instance,
        raise_on_error=False,
        tags={"m2m/bulk_change": "4711"},
    )

    step, words = failure_of(result)
    assert step == "validate_request"
    assert words == (
        f"This run is tagged `m2m/bulk_change: 4711`, and its configuration names bulk change {bulk_change_id}. "
        "Nothing was done, for either. Trying this run again does not help: launch the one that is meant from an empty "
        "launchpad, without the tags of another."
    )
    assert left(world) == before
