"""The retention removes what is over and old, and nothing that anybody needs; what it removed is on record."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.scheduler.instigation import TickData, TickStatus

from m2m_pipeline.orchestration.assets import bulk_change_partitions
from m2m_pipeline.orchestration.jobs import bulk_carrier_rate_plan_change as job
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline.orchestration.retention import retention
from m2m_pipeline.services.retention import Retention
from m2m_pipeline.storage.retention import EXPIRED
from m2m_pipeline_tests.world import World

OLD, RECENT = 100, 80
KEPT_FOR_EVER = {
    "audit_entry",
    "audit_link",
    "bulk_change",
    "device_change",
    "device",
    "tenant",
    "service_provider",
    "purged",
}


def run_of(instance: dg.DagsterInstance, bulk_change_id: int, status: dg.DagsterRunStatus) -> str:
    """A run that Dagster has of a bulk change."""
    instance.add_dynamic_partitions(str(bulk_change_partitions.name), [str(bulk_change_id)])
    tags = {"m2m/bulk_change": str(bulk_change_id)}
    config = {"ops": {"validate_request": {"config": {"bulk_change_id": bulk_change_id}}}}
    return instance.create_run_for_job(job, run_config=config, tags=tags, status=status).run_id


def purge(instance: dg.DagsterInstance, platform: Platform) -> None:
    assert retention.execute_in_process(instance=instance, resources={"platform": platform}).success


def message(world: World, days: int) -> None:
    world.sql(
        "INSERT INTO m2m.inbox_message (tenant_id, message_id, sender, status, problems, received_at) "
        "SELECT min(id), %s, 's', 'REJECTED', '[{}]', now() - make_interval(days => %s) FROM m2m.tenant",
        f"m-{days}-{world.count('inbox_message')}",
        days,
    )


@pytest.fixture
def everything_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if runs that begin now had begun before the limit."""
    monkeypatch.setattr(Retention, "run_limit", tomorrow)


def tomorrow(keeper: Retention) -> datetime:
    return keeper._limit(-1)


def test_nothing_that_is_kept_for_ever_is_in_the_list_of_what_expires() -> None:
    assert not KEPT_FOR_EVER & EXPIRED.keys()


def test_expired_records_go_and_recent_ones_stay_and_the_audit_log_says_so(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    for days in (OLD, OLD, RECENT):
        message(world, days)
    world.submit_and_run()
    entries = world.count("audit_entry")
    world.sql(
        "INSERT INTO m2m.alert (name, subject, detail, resolved_at) "
        "VALUES ('DRIFT', 'b', 'c', now() - interval '99 d'), ('DRIFT', 'open', 'c', NULL)"
    )

    purge(instance, platform)
    purge(instance, platform)

    assert (world.count("inbox_message"), world.count("alert"), world.count("bulk_change")) == (1, 1, 1)
    told = world.sql("SELECT request FROM m2m.audit_entry WHERE kind = 'RECORDS_PURGED'")
    assert [(one["records"], one["count"]) for (one,) in told if isinstance(one, dict)] == [("inbox_message", 2)]
    assert world.count("audit_entry") == int(str(entries)) + 1


@pytest.mark.usefixtures("everything_is_old")
def test_old_runs_go_but_for_those_of_a_change_that_has_not_ended(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    document, _ = world.submit_and_run(world.iccids[:1])
    waiting = world.submit(world.iccids[1:]).bulk_change_id
    gone = [run_of(instance, document.id, status) for status in (dg.DagsterRunStatus.FAILURE,) * 2]
    kept = run_of(instance, waiting, dg.DagsterRunStatus.FAILURE)
    working = run_of(instance, document.id + 1000, dg.DagsterRunStatus.STARTED)

    purge(instance, platform)

    assert [instance.has_run(one) for one in (*gone, kept, working)] == [False, False, True, True]
    partitions = set(instance.get_dynamic_partitions(str(bulk_change_partitions.name)))
    assert partitions == {str(waiting), str(document.id + 1000)}
    told = world.sql("SELECT request FROM m2m.audit_entry WHERE kind = 'RECORDS_PURGED'")
    assert [(one["records"], one["count"]) for (one,) in told if isinstance(one, dict)] == [("dagster_run", 2)]


@pytest.mark.parametrize("bulk_change_id", [4711, 2**63])
@pytest.mark.usefixtures("everything_is_old")
def test_an_old_run_of_a_change_that_never_was_goes_with_the_others(
    world: World, platform: Platform, instance: dg.DagsterInstance, bulk_change_id: int
) -> None:
    config = {"ops": {"validate_request": {"config": {"bulk_change_id": bulk_change_id}}}}
    mistyped = instance.create_run_for_job(job, run_config=config, status=dg.DagsterRunStatus.FAILURE).run_id
    kept = run_of(instance, world.submit().bulk_change_id, dg.DagsterRunStatus.FAILURE)

    purge(instance, platform)

    assert [instance.has_run(one) for one in (mistyped, kept)] == [False, True]
    assert world.sql("SELECT records, count FROM m2m.purged") == [("dagster_run", 1)]


@pytest.mark.usefixtures("everything_is_old")
def test_what_is_no_tenants_is_on_record_for_ever_when_it_goes(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    world.sql(
        "INSERT INTO m2m.alert (name, subject, detail, resolved_at) VALUES ('DRIFT', '', '', now() - '99 d'::interval)"
    )
    instance.create_run_for_job(retention, status=dg.DagsterRunStatus.SUCCESS)
    for _ in range(3):
        evaluation = dg.AssetCheckEvaluation(asset_key=dg.AssetKey("kept"), check_name="balance", passed=True)
        told = DagsterEvent(DagsterEventType.ASSET_CHECK_EVALUATION.value, "job", event_specific_data=evaluation)
        instance.report_dagster_event(told, run_id=str(uuid4()))

    purge(instance, platform)

    recorded = world.sql("SELECT records, count, before < now() + interval '2 d' FROM m2m.purged ORDER BY id")
    assert recorded == [("alert", 1, True), ("dagster_run", 1, True), ("asset_check_execution", 2, True)]


def test_recent_runs_stay(world: World, platform: Platform, instance: dg.DagsterInstance) -> None:
    document, _ = world.submit_and_run()
    run_id = run_of(instance, document.id, dg.DagsterRunStatus.SUCCESS)

    purge(instance, platform)

    assert instance.has_run(run_id)


@pytest.fixture
def instance_on_disk(tmp_path: Path) -> Generator[dg.DagsterInstance]:
    """Dagster with ticks, and with the shipped times for which it keeps them."""
    shipped = Path(__file__).parents[2] / "dagster.yaml"
    kept = shipped.read_text().partition("\nretention:\n")[2].partition("\n\n")[0]
    (tmp_path / "dagster.yaml").write_text(f"retention:\n{kept}\n")
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def ticked(instance: dg.DagsterInstance, name: str, kind: InstigatorType, status: TickStatus, days: float) -> None:
    """A tick of so many days ago."""
    moment = datetime.now(UTC) - timedelta(days=days)
    reason = "Nothing." if status is TickStatus.SKIPPED else None
    data = TickData(name, name, kind, status, moment.timestamp(), run_ids=[], skip_reason=reason, selector_id=name)
    instance.create_tick(data)


def test_ticks_past_their_time_go_also_of_what_ticks_no_more_and_are_on_record(
    world: World, platform: Platform, instance_on_disk: dg.DagsterInstance
) -> None:
    instance, sensor = instance_on_disk, InstigatorType.SENSOR
    for days in (0.9, 1.1, 2.0):
        ticked(instance, "switched-off", sensor, TickStatus.SKIPPED, days)
    for days in (29, 31):
        ticked(instance, "switched-off", sensor, TickStatus.SUCCESS, days)
        ticked(instance, "scheduled", InstigatorType.SCHEDULE, TickStatus.SKIPPED, days)

    purge(instance, platform)
    purge(instance, platform)

    left = {name: len(instance.get_ticks(name, name)) for name in ("switched-off", "scheduled")}
    assert left == {"switched-off": 2, "scheduled": 1}
    recorded = world.sql("SELECT records, count, now() - before < interval '30 d' FROM m2m.purged ORDER BY id")
    assert recorded == [("dagster_tick", 2, True), ("dagster_tick", 1, False), ("dagster_tick", 1, False)]
