"""A run that begins in the middle, as Dagster's re-execution has it: what it may pass over, and what it must not."""

import signal
from collections.abc import Callable, Sequence
from unittest.mock import Mock

import dagster as dg
import pytest

from m2m_pipeline.orchestration.jobs import bulk_carrier_rate_plan_change
from m2m_pipeline.orchestration.outputs import StepOutputs
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline.services.execution.execution import Execution
from m2m_pipeline_tests.world import World

KILLED_IN = [
    ("authenticate_carrier", 1),
    ("plan_batches", 1),
    ("change_devices", 1),
    ("change_devices", 2),
    ("update_amop", 2),
    ("write_audit", 3),
    ("finalize", 1),
]
"""A step, and its how-manieth time. In the first batch's `change_devices`, Dagster starts steps without their input."""

OTHER = "another run"


class PowerCutError(BaseException):
    """The process of the run is no more."""


def the_job() -> dg.JobDefinition:
    """The job with the resources of the code location."""
    resources = {"platform": Platform(), "io_manager": StepOutputs()}
    definitions = dg.Definitions(jobs=[bulk_carrier_rate_plan_change], resources=resources)
    return definitions.resolve_job_def(bulk_carrier_rate_plan_change.name)


def execute(instance: dg.DagsterInstance, options: dg.ReexecutionOptions | None = None, **config: int) -> dg.DagsterRun:
    """A run; `options` say what it re-executes."""
    with dg.execute_job(
        dg.reconstructable(the_job),
        instance,
        run_config={"ops": {"validate_request": {"config": config}}} if config else None,
        reexecution_options=options,
        raise_on_error=False,
    ) as result:
        run = instance.get_run_by_id(result.run_id)
    assert run is not None
    return run


def told(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """All that is said of a run."""
    return "\n".join(str(entry) for entry in instance.all_logs(run.run_id))


def from_failure(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    """`Re-execute from failure`."""
    return execute(instance, dg.ReexecutionOptions.from_failure(run.run_id, instance))


def selected(instance: dg.DagsterInstance, run: dg.DagsterRun, steps: Sequence[str]) -> dg.DagsterRun:
    """`Re-execute selected`."""
    return execute(instance, dg.ReexecutionOptions(run.run_id, step_selection=steps))


def killed(world: World, instance: dg.DagsterInstance, step: str, nth: int = 1) -> dg.DagsterRun:
    """A run of three batches whose process ended in a step: from there on it recorded nothing, nowhere."""
    bulk_change_id = world.submit(batch_size=1).bulk_change_id
    times = 0

    def living(work: Callable[..., object]) -> Callable[..., object]:
        def do(*args: object, **kwargs: object) -> object:
            if times >= nth:
                raise PowerCutError
            return work(*args, **kwargs)

        return do

    def dying(work: Callable[..., object]) -> Callable[..., object]:
        def do(*args: object, **kwargs: object) -> object:
            nonlocal times
            times += 1
            return living(work)(*args, **kwargs)

        return do

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Execution, step, dying(getattr(Execution, step)))
        patch.setattr(Execution, "release", Mock())
        patch.setattr(dg.DagsterInstance, "handle_new_event", living(dg.DagsterInstance.handle_new_event))
        with pytest.raises(PowerCutError):
            execute(instance, bulk_change_id=bulk_change_id)
    (run,) = instance.get_runs()
    instance.report_run_failed(run)
    world.sql("UPDATE m2m.bulk_change SET lease_expires_at = clock_timestamp() - interval '1 s'")
    (run,) = instance.get_runs()
    return run


def left(world: World) -> list[object]:
    """All that is known of the change: rows, audit entries, and calls at the carrier."""
    rows = [
        world.sql(f"SELECT * FROM m2m.{table} ORDER BY id") for table in ("bulk_change", "device_change", "audit_entry")
    ]
    return [*rows, world.control.calls()]


@pytest.mark.parametrize(("step", "nth"), KILLED_IN)
def test_a_killed_run_whose_change_was_finished_meanwhile_does_nothing_from_its_failure_and_says_so(
    world: World, instance: dg.DagsterInstance, step: str, nth: int
) -> None:
    run = killed(world, instance, step, nth)
    world.run(1, OTHER)
    before = left(world)

    again = from_failure(instance, run)

    assert again.status is dg.DagsterRunStatus.SUCCESS, told(instance, again)
    assert "Bulk change 1 has ended as PROCESSED: nothing to do." in told(instance, again)
    assert left(world) == before


@pytest.mark.parametrize("step", ["change_devices", "update_amop", "write_audit", "finalize_bulk_change"])
def test_steps_of_a_finished_change_that_are_selected_do_nothing_and_say_so(
    world: World, instance: dg.DagsterInstance, step: str
) -> None:
    run = killed(world, instance, "change_devices", 2)
    world.run(1, OTHER)
    before = left(world)

    again = selected(instance, run, [step if step.startswith("finalize") else f"{step}[{world.iccids[2]}]"])

    assert again.status is dg.DagsterRunStatus.SUCCESS, told(instance, again)
    assert "Bulk change 1 has ended as PROCESSED: nothing to do." in told(instance, again)
    assert left(world) == before


@pytest.mark.parametrize(("step", "nth"), KILLED_IN)
def test_who_comes_second_at_any_step_does_nothing_and_names_the_run_that_holds_the_change(
    world: World, instance: dg.DagsterInstance, step: str, nth: int
) -> None:
    run = killed(world, instance, step, nth)
    world.services.execution.claim(1, OTHER)
    before = left(world)

    again = from_failure(instance, run)

    assert again.status is dg.DagsterRunStatus.SUCCESS, told(instance, again)
    assert f"Bulk change 1 is being worked on by run {OTHER}: nothing was done here." in told(instance, again)
    assert left(world) == before
    assert world.evidence(1).bulk.status == "PROCESSING"


@pytest.mark.parametrize(("step", "nth"), [("change_devices", 1), ("change_devices", 2), ("update_amop", 2)])
def test_a_change_that_nobody_holds_and_that_has_open_devices_is_never_passed_over(
    world: World, instance: dg.DagsterInstance, step: str, nth: int
) -> None:
    run = killed(world, instance, step, nth)

    again = from_failure(instance, run)

    assert again.status is dg.DagsterRunStatus.FAILURE
    assert "Re-execute all steps of the run" in told(instance, again)
    assert world.evidence(1).bulk.status == "PROCESSING"


def test_a_run_that_is_terminated_between_two_steps_gives_its_lease_back_at_once(
    world: World, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster raises such an interrupt on entering the next step, before its body."""
    bulk_change_id = world.submit(batch_size=3).bulk_change_id

    def terminating(record: Callable[..., object]) -> Callable[..., object]:
        def do(self: dg.DagsterInstance, event: dg.EventLogEntry, *rest: object, **options: object) -> None:
            record(self, event, *rest, **options)
            happened = event.dagster_event
            if happened and happened.is_step_success and str(happened.step_key).startswith("change_devices"):
                (run,) = instance.get_runs()
                instance.report_run_canceling(run)
                signal.raise_signal(signal.SIGINT)

        return do

    monkeypatch.setattr(dg.DagsterInstance, "handle_new_event", terminating(dg.DagsterInstance.handle_new_event))
    run = execute(instance, bulk_change_id=bulk_change_id)

    assert run.status is dg.DagsterRunStatus.CANCELED
    assert {row.status for row in world.evidence(bulk_change_id).rows} == {"APPLIED"}
    assert world.sql("SELECT status, lease_owner FROM m2m.bulk_change") == [("PROCESSING", None)]
