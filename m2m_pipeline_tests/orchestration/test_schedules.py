"""What is scheduled: when, for which partition, and that it is missed where it does not run."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from sqlalchemy import text

from m2m_pipeline.domain.alerts import AlertName
from m2m_pipeline.orchestration.catalog import provider_partitions
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline_tests.orchestration.location import KEY, build, tick

SCHEDULES = {
    "sign_audit_digests_regularly": ("audit_digest", "M2M_AUDIT_DIGEST_CRON"),
    "verify_audit_log_regularly": ("audit_verification", "M2M_AUDIT_VERIFY_CRON"),
    "check_regularly": ("checks", "M2M_CHECK_CRON"),
    "purge_regularly": ("retention", "M2M_RETENTION_CRON"),
    "sum_up_yesterday": ("daily_statistics_job", "M2M_DAILY_CRON"),
}
OTHER_SCHEDULES = {"reconcile_regularly": ("reconciliation", "M2M_RECONCILE_CRON")}
"""Asks for a run for each provider."""


@pytest.mark.usefixtures("world", "digests")
def test_a_schedule_is_on_and_asks_for_one_run_of_its_job() -> None:
    definitions = build()
    for name, (job, _) in SCHEDULES.items():
        schedule = definitions.resolve_schedule_def(name)
        with dg.build_schedule_context(
            scheduled_execution_time=datetime.now(UTC), repository_def=definitions.get_repository_def()
        ) as context:
            requests = schedule.evaluate_tick(context).run_requests

        assert (schedule.job_name, len(requests or [])) == (job, 1)
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING


def watcher() -> dg.SensorDefinition:
    """As the code location has it."""
    found = build().resolve_sensor_def("watch_platform")
    assert isinstance(found, dg.SensorDefinition)
    return found


def missed(platform: Platform) -> set[str]:
    """The scheduled jobs of which it is told that they are late."""
    return {one.subject for one in platform.services.alerting.health().open_alerts if one.name == AlertName.UPKEEP_LATE}


def quiet_for(platform: Platform, hours: float) -> None:
    """As if the last runs of scheduled jobs had ended so long ago."""
    with platform.services.database.begin() as tx:
        last = "clock_timestamp() - make_interval(secs => :seconds)"
        tx.execute(text(f"UPDATE m2m.heartbeat SET at = {last} WHERE name LIKE 'job %'"), {"seconds": hours * 3600})


@pytest.mark.usefixtures("world", "digests")
def test_each_scheduled_job_is_missed_where_it_does_not_run(platform: Platform, instance: dg.DagsterInstance) -> None:
    tick(watcher(), platform, instance)
    quiet_for(platform, 49)
    tick(watcher(), platform, instance)

    assert missed(platform) == {job for job, _ in SCHEDULES.values()}


def hourly() -> str:
    return "5 * * * *"


def daily(due_hours_ago: int) -> str:
    """Once a day, the last time so many hours ago, or up to one more."""
    return f"0 {(datetime.now(UTC) - timedelta(hours=due_hours_ago)).hour} * * *"


def weekly(due_days_ago: int) -> str:
    """Once a week."""
    return f"0 0 * * {(datetime.now(UTC) - timedelta(days=due_days_ago)).isoweekday() % 7}"


@pytest.mark.parametrize(
    ("cron", "quiet_hours", "is_missed"),
    [
        (hourly(), 2.9, False),
        (hourly(), 4.1, True),
        (daily(due_hours_ago=1), 24.5, False),
        (daily(due_hours_ago=4), 26, True),
        (weekly(due_days_ago=6), 5 * 24, False),
        (weekly(due_days_ago=1), 7 * 24, True),
    ],
)
@pytest.mark.usefixtures("world")
def test_a_job_is_missed_a_while_after_its_own_schedule_asked_for_it(
    platform: Platform,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    cron: str,
    quiet_hours: float,
    *,
    is_missed: bool,
) -> None:
    """Three hours: also where the next run is due long before or after."""
    monkeypatch.setenv("M2M_CHECK_CRON", cron)
    watch = watcher()
    tick(watch, platform, instance)
    quiet_for(platform, quiet_hours)
    tick(watch, platform, instance)

    assert ("checks" in missed(platform)) is is_missed


@pytest.mark.usefixtures("world", "digests")
def test_each_schedule_is_due_when_its_setting_says(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {name: f"{minute} 3 * * *" for minute, name in enumerate({**SCHEDULES, **OTHER_SCHEDULES})}
    for name, (_, setting) in {**SCHEDULES, **OTHER_SCHEDULES}.items():
        monkeypatch.setenv(setting, expected[name])

    assert {one.name: one.cron_schedule for one in schedules()} == expected


@pytest.mark.usefixtures("world")
def test_the_day_that_is_summed_up_is_the_one_before() -> None:
    definitions = build()
    schedule = definitions.resolve_schedule_def("sum_up_yesterday")
    due = datetime(2026, 3, 1, 0, 10, tzinfo=UTC)
    with dg.build_schedule_context(
        scheduled_execution_time=due, repository_def=definitions.get_repository_def()
    ) as context:
        (request,) = schedule.evaluate_tick(context).run_requests or []

    assert request.partition_key == "2026-02-28"


def schedules() -> Iterable[dg.ScheduleDefinition]:
    return [one for one in build().schedules or [] if isinstance(one, dg.ScheduleDefinition)]


@pytest.mark.usefixtures("world")
def test_without_a_place_for_digests_none_is_scheduled() -> None:
    assert "sign_audit_digests_regularly" not in {one.name for one in build().schedules or []}


def test_the_schedule_keeps_a_partition_for_each_provider_and_asks_for_its_run(
    definitions: dg.Definitions, platform: Platform
) -> None:
    schedule = definitions.resolve_schedule_def("reconcile_regularly")
    now = datetime.now(UTC)
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions(str(provider_partitions.name), ["somebody/gone"])
        with dg.build_schedule_context(
            instance, now, resources={"platform": platform}, repository_def=definitions.get_repository_def()
        ) as context:
            requests = schedule.evaluate_tick(context).run_requests
        kept = instance.get_dynamic_partitions(str(provider_partitions.name))

    assert [request.partition_key for request in requests or []] == [KEY]
    assert kept == [KEY]
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
