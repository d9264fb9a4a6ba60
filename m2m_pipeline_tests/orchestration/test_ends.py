"""A bulk change that ends more than once: retried, or settled later."""

from functools import partial

import dagster as dg
import pytest

from m2m_pipeline.orchestration.catalog import bulk_changes
from m2m_pipeline.orchestration.checks import end_events
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline.services.accounts import ProviderSettings
from m2m_pipeline.services.checks import Check
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.orchestration.ends import assert_told_in_full
from m2m_pipeline_tests.orchestration.location import KEY, build, load_inventory, metadata, run_change, run_job
from m2m_pipeline_tests.page.visitors import visitor
from m2m_pipeline_tests.web.door import open_door
from m2m_pipeline_tests.world import OWNER, PROVIDER, TENANT, THIRD, World


def left_unknown(world: World) -> int:
    """A bulk change that ended with a device of which nobody knows that the carrier has changed it."""
    document, _ = world.submit_and_run()
    world.sql("UPDATE m2m.device_change SET status = 'UNCONFIRMED', ended_at = NULL WHERE row_number = 1")
    world.sql("UPDATE m2m.bulk_change SET status = 'PARTIAL'")
    return document.id


def test_what_is_tried_again_is_measured_over_all_its_attempts_and_keeps_its_budget(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    rate, earlier_calls = world.options.calls_per_second, 1_000_000
    rule = world.trouble(Rule(name="device_refused", iccids=frozenset(world.iccids[:1])))
    bulk_change_id = world.submit().bulk_change_id
    first = world.run(bulk_change_id)
    world.sql(  # as if it had been of many more devices
        "UPDATE m2m.bulk_change SET carrier_calls = carrier_calls + %s, work_seconds = work_seconds + %s",
        earlier_calls,
        earlier_calls / rate,
    )
    world.control.stop(rule)
    world.services.retrying.retry(TENANT, bulk_change_id, "operator")
    run_change(bulk_change_id, platform, instance)
    again = world.services.reporting.document(TENANT, bulk_change_id)

    assert (first.status, again.status) == ("PARTIAL", "PROCESSED")
    assert [verdict.check for verdict in world.services.checks.of_everything() if not verdict.holds] == []
    assert first.timings.processing_seconds is not None
    assert again.timings.processing_seconds is not None
    seconds = first.timings.processing_seconds + earlier_calls / rate + again.timings.processing_seconds
    calls = earlier_calls + len(world.control.calls())
    shown = metadata(instance, bulk_changes)
    assert shown["carrier calls"] == calls
    assert shown["seconds of work"] == pytest.approx(seconds, abs=0.05)
    assert shown["calls a second"] == pytest.approx(calls / seconds, abs=0.01)
    assert shown["share of the account's rate used"] == pytest.approx(calls / rate / seconds, abs=0.001)


def test_what_was_called_too_often_in_one_of_its_attempts_is_found(world: World) -> None:
    document, _ = world.submit_and_run()
    world.sql("UPDATE m2m.bulk_change SET carrier_calls = carrier_calls + 1000000, status = 'PARTIAL'")
    world.sql("UPDATE m2m.device_change SET status = 'REFUSED', reason = 'CARRIER_REFUSED' WHERE row_number = 1")
    world.services.retrying.retry(TENANT, document.id, "operator")
    world.run(document.id, "run-2")

    (verdict,) = world.services.checks.of_everything([Check.BUDGET_KEPT])
    assert [breach.row for breach in verdict.broken] == [f"bulk change {document.id}"]


@pytest.mark.parametrize(
    ("at_the_end", "later", "seconds", "holds"),
    [(1000.0, 1.0, 1000.0, True), (1.0, 1.0, 1000.0, True), (1000.0, 1_000_000.0, 0.0, False)],
    ids=["lowered afterwards", "lowered meanwhile", "raised afterwards"],
)
def test_calls_are_held_against_the_rate_under_which_they_were_made(
    world: World, at_the_end: float, later: float, seconds: float, *, holds: bool
) -> None:
    """A million of them."""
    allow = partial(world.services.accounts.configure, TENANT, PROVIDER, actor="test")
    bulk_change_id = world.submit().bulk_change_id
    for batch in world.prepare(bulk_change_id):
        world.drive(batch)
    allow(settings=ProviderSettings(calls_per_second=at_the_end))
    world.services.execution.finalize(bulk_change_id, OWNER)
    world.services.drifting.find(world.provider, full=True)
    world.sql(
        "UPDATE m2m.bulk_change SET carrier_calls = carrier_calls + 1000000, work_seconds = work_seconds + %s", seconds
    )
    world.sql(
        "UPDATE m2m.reconciliation_pass SET carrier_calls = carrier_calls + 1000000, "
        "started_at = started_at - make_interval(secs => %s)",
        seconds,
    )
    allow(settings=ProviderSettings(calls_per_second=later))

    (verdict,) = world.services.checks.of_everything([Check.BUDGET_KEPT])

    assert [one.row for one in verdict.broken] == ([] if holds else [f"bulk change {bulk_change_id}", "pass 1"])


def test_what_reconciliation_settles_is_told_in_full_again(world: World, instance: dg.DagsterInstance) -> None:
    bulk_change_id = left_unknown(world)

    run_job(build(), "reconciliation", instance, KEY)

    assert metadata(instance, bulk_changes)["status"] == "PROCESSED"
    assert_told_in_full(instance, bulk_change_id)
    with open_door(world, dev_sign_in=True) as door, visitor(door.url) as operator:
        assert "<dt>Settled</dt>" in operator.get(f"/changes/{bulk_change_id}").text


def test_of_ends_that_are_told_together_none_hides_what_another_has_broken(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    broken, _ = world.submit_and_run()
    well, _ = world.submit_and_run(rate_plan=THIRD)
    world.sql("UPDATE m2m.bulk_change SET result = '{}' WHERE id = %s", broken.id)

    told = [one for one in end_events(instance, platform, [broken, well]) if isinstance(one, dg.AssetCheckEvaluation)]

    balance = [(one.passed, one.partition) for one in told if one.check_name == Check.COUNTS_BALANCE.value]
    assert balance == [(False, str(broken.id)), (False, None)]


def test_every_asset_shows_the_memory_and_the_time_of_its_worker(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    definitions = build()
    run_change(world.submit().bulk_change_id, platform, instance)
    world.sql("UPDATE m2m.bulk_change SET finished_at = finished_at - interval '1 day'")  # a day is summed up when over
    ((day,),) = world.sql("SELECT finished_at::date::text FROM m2m.bulk_change")
    run_job(definitions, "daily_statistics_job", instance, str(day))
    run_job(definitions, "reconciliation", instance, KEY)
    load_inventory(definitions, instance)

    for spec in definitions.resolve_all_asset_specs():
        shown = metadata(instance, spec)
        for name in ("worker peak memory (MB)", "worker seconds", "worker CPU seconds"):
            assert float(str(shown[name])) > 0, (spec.key, name)
