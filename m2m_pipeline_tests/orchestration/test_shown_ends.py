"""Each end of a bulk change reaches the catalog, whoever ended it and died before telling; and is told there once."""

from collections.abc import Generator

import dagster as dg
import pytest

from m2m_pipeline.orchestration.catalog import bulk_changes
from m2m_pipeline.orchestration.jobs import bulk_carrier_rate_plan_change
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline.services import showing
from m2m_pipeline_tests.faults.points import Point
from m2m_pipeline_tests.orchestration.dying import start_dying_run, wait_for_death
from m2m_pipeline_tests.orchestration.ends import assert_told_in_full
from m2m_pipeline_tests.orchestration.location import metadata, run_change
from m2m_pipeline_tests.orchestration.test_ends import left_unknown
from m2m_pipeline_tests.orchestration.test_sweep_sensor import tick
from m2m_pipeline_tests.world import World

QUIET = "Nothing was abandoned."
ENDED_BUT_NOT_SHOWN = Point("m2m_pipeline.orchestration.ops.show_end", "before")


@pytest.fixture
def on_disk() -> Generator[dg.DagsterInstance]:
    """Dagster where other processes find it."""
    with dg.instance_for_test() as made:
        yield made


def long_ago(world: World) -> None:
    """As if what has ended had ended longer ago than whoever ended it needs to tell."""
    age = f"- interval '{showing.UNSHOWN_SECONDS + 1} s'"
    world.sql(
        f"UPDATE m2m.bulk_change SET finished_at = finished_at {age}, settled_at = settled_at {age}, "
        f"shown_end = shown_end {age}"
    )


def times_told(instance: dg.DagsterInstance) -> int:
    return len(instance.fetch_materializations(bulk_changes.key, limit=10).records)


def test_an_end_whose_run_died_before_it_told_the_catalog_is_told_by_the_sweeper(
    world: World, platform: Platform, on_disk: dg.DagsterInstance
) -> None:
    bulk_change_id = world.submit().bulk_change_id
    config = {"ops": {"validate_request": {"config": {"bulk_change_id": bulk_change_id}}}}
    wait_for_death(start_dying_run(bulk_carrier_rate_plan_change.name, ENDED_BUT_NOT_SHOWN, config))
    assert world.sql("SELECT status FROM m2m.bulk_change") == [("PROCESSED",)]
    assert (tick(platform, on_disk), times_told(on_disk)) == (QUIET, 0), "its run may be about to tell"

    long_ago(world)
    said = tick(platform, on_disk)

    assert said == f"The catalog was told of the end of bulk change {bulk_change_id}."
    assert_told_in_full(on_disk, bulk_change_id)
    assert (tick(platform, on_disk), times_told(on_disk)) == (QUIET, 1)


def test_an_end_that_its_run_has_told_is_not_told_again(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    run_change(world.submit().bulk_change_id, platform, instance)
    long_ago(world)

    assert (tick(platform, instance), times_told(instance)) == (QUIET, 1)


def test_what_is_settled_without_dagster_is_told_in_full_again(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    bulk_change_id = left_unknown(world)
    before = world.services.reporting.document("acme", bulk_change_id)
    world.services.showing.note([before])
    assert world.settle() == 0
    world.services.showing.note([before])  # by a run that was slow to tell of the first end

    long_ago(world)
    tick(platform, instance)

    assert metadata(instance, bulk_changes)["status"] == "PROCESSED"
    assert_told_in_full(instance, bulk_change_id)
    assert (tick(platform, instance), times_told(instance)) == (QUIET, 1)


def test_after_many_ends_each_look_tells_of_some(
    world: World, platform: Platform, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(showing, "MOST", 1)
    for iccid in world.iccids[:2]:
        world.submit_and_run([iccid])
    long_ago(world)

    for told in (1, 2, 2):
        tick(platform, instance)
        assert times_told(instance) == told
