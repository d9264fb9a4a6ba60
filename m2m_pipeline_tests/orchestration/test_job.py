"""The job in this process: how the domain's errors look in a run."""

from collections.abc import Callable

import dagster as dg
import pytest

from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline.orchestration.jobs import bulk_carrier_rate_plan_change
from m2m_pipeline.orchestration.ops import finalize_bulk_change
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.local.waiting import wait_until
from m2m_pipeline_tests.orchestration.ends import assert_told_in_full
from m2m_pipeline_tests.world import TENANT, Options, World


def execute(bulk_change_id: int, platform: Platform, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """One run, as the sensor asks for it."""
    return bulk_carrier_rate_plan_change.execute_in_process(
        run_config={"ops": {"validate_request": {"config": {"bulk_change_id": bulk_change_id}}}},
        resources={"platform": platform},
        instance=instance,
        raise_on_error=False,
    )


def failure_of(result: dg.ExecuteInProcessResult) -> tuple[str, str]:
    """The step that failed, and its words."""
    (event,) = [event for event in result.all_events if event.is_step_failure]
    error = event.step_failure_data.user_failure_data
    assert error is not None, event
    return str(event.step_key), str(error.description)


def test_a_run_brings_every_device_to_its_end(world: World, platform: Platform, instance: dg.DagsterInstance) -> None:
    bulk_change_id = world.submit().bulk_change_id
    result = execute(bulk_change_id, platform, instance)

    assert result.success
    check_all(world.evidence(bulk_change_id))


def test_what_steps_hand_on_is_ids_and_counts(world: World, platform: Platform, instance: dg.DagsterInstance) -> None:
    bulk_change_id = world.submit(batch_size=2).bulk_change_id
    result = execute(bulk_change_id, platform, instance)

    for step in ("validate_request", "build_change_details", "authenticate_carrier"):
        assert result.output_for_node(step) == bulk_change_id
    assert sum(result.output_for_node("write_audit").values()) == len(world.iccids)


def test_an_integration_that_lost_its_adapter_meanwhile_rejects_the_change(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    """Bug 3 of the old system: such a change was queued again every five seconds for ever."""
    bulk_change_id = world.submit().bulk_change_id
    world.sql("UPDATE m2m.service_provider SET integration_type = 'Teal'")
    result = execute(bulk_change_id, platform, instance)

    step, words = failure_of(result)
    assert step == "validate_request"
    assert "which no adapter serves" in words
    assert world.services.reporting.document(TENANT, bulk_change_id).status is BulkChangeStatus.REJECTED
    assert world.services.queue.head() == []
    assert world.puts() == 0


def test_a_change_that_ends_early_is_shown_in_the_catalog_too(
    make_world: Callable[[Options], World], platform: Platform, instance: dg.DagsterInstance
) -> None:
    bulk_change_id = make_world(Options(writes=False)).submit().bulk_change_id
    result = execute(bulk_change_id, platform, instance)

    step, words = failure_of(result)
    assert step == "authenticate_carrier"
    assert "Enable them with" in words
    assert_told_in_full(instance, bulk_change_id)


def test_the_last_step_refuses_to_end_a_change_while_devices_are_open(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    """As when Dagster re-executes from a failure and leaves out steps: what they returned is not asked."""
    bulk_change_id = world.submit().bulk_change_id
    world.prepare(bulk_change_id, "a run that died")
    world.sql("UPDATE m2m.bulk_change SET lease_expires_at = now() - interval '1 second'")

    with pytest.raises(dg.Failure, match="3 devices are open"), dg.build_op_context(instance=instance) as context:
        finalize_bulk_change(context, platform=platform, bulk_change_id=bulk_change_id, audited=[3])
    assert world.services.reporting.document(TENANT, bulk_change_id).status is BulkChangeStatus.PROCESSING


def test_a_step_that_fails_gives_the_lease_back_at_once(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    bulk_change_id = world.submit().bulk_change_id
    world.sql(
        "CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$; "
        "CREATE TRIGGER no BEFORE UPDATE OF batch ON m2m.device_change EXECUTE FUNCTION public.no()"
    )
    first = execute(bulk_change_id, platform, instance)
    world.sql("DROP TRIGGER no ON m2m.device_change")
    second = execute(bulk_change_id, platform, instance)

    assert not first.success
    assert second.success
    check_all(world.evidence(bulk_change_id))


def test_what_a_run_says_of_a_database_error_names_no_sim(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    bulk_change_id = world.submit().bulk_change_id
    world.sql(
        "CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$; "
        "CREATE TRIGGER no BEFORE INSERT ON m2m.audit_entry FOR EACH ROW WHEN (NEW.kind = 'CARRIER_CALL') "
        "EXECUTE FUNCTION public.no()"
    )
    result = execute(bulk_change_id, platform, instance)

    errors = [str(event.event_specific_data) for event in result.all_events if event.is_step_failure]
    assert errors
    for iccid in world.iccids[1:]:
        assert not any(iccid in error for error in errors)


def refuse(world: World, event: str) -> None:
    """The database refuses this update of a bulk change."""
    world.sql(
        "CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$; "
        f"CREATE TRIGGER no BEFORE UPDATE {event} EXECUTE FUNCTION public.no()"
    )


def test_a_lease_that_cannot_be_given_back_does_not_hide_why_the_step_failed(
    world: World, platform: Platform, instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    bulk_change_id = world.submit().bulk_change_id
    world.prepare(bulk_change_id, "a run that died")
    world.sql("UPDATE m2m.bulk_change SET lease_expires_at = now() - interval '1 second'")
    refuse(world, "ON m2m.bulk_change FOR EACH ROW WHEN (NEW.lease_owner IS NULL)")

    with pytest.raises(dg.Failure, match="3 devices are open"), dg.build_op_context(instance=instance) as context:
        finalize_bulk_change(context, platform=platform, bulk_change_id=bulk_change_id, audited=[3])
    assert "The lease was not given back" in caplog.text


def test_a_lease_that_cannot_be_given_back_at_the_end_of_a_run_costs_no_connections(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    bulk_change_id = world.submit().bulk_change_id
    refuse(world, "ON m2m.bulk_change FOR EACH ROW WHEN (NEW.lease_owner IS NULL AND NEW.status = 'PROCESSING')")
    world.sql("ALTER TABLE m2m.device_change ADD CONSTRAINT never CHECK (batch IS NULL)")
    result = execute(bulk_change_id, platform, instance)

    assert not result.success
    assert not [event.message for event in result.all_events if "eardown" in str(event.message)]
    world.services.database.dispose()
    ours = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s"
    wait_until(lambda: not world.sql(ours, "m2m_pipeline"), "the end of the run's connections")


def test_a_catalog_that_cannot_be_told_does_not_hide_why_the_change_ended(
    make_world: Callable[[Options], World], platform: Platform, instance: dg.DagsterInstance
) -> None:
    world = make_world(Options(writes=False))
    bulk_change_id = world.submit().bulk_change_id
    refuse(world, "OF shown_end ON m2m.bulk_change")

    _, words = failure_of(execute(bulk_change_id, platform, instance))
    assert "Enable them with" in words
