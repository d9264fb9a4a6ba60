"""What sealer, deliverer, watcher and schedules do by themselves: their work once, or a reason, or what helps."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import stamina
from sqlalchemy import text

from m2m_pipeline.domain.alerts import AlertName
from m2m_pipeline.domain.digests import ArchiveUnavailableError
from m2m_pipeline.domain.notices import DestinationKind
from m2m_pipeline.orchestration.auditing import audit_digest, audit_verification, seal_sensor
from m2m_pipeline.orchestration.notices import notice_sensor, watch_sensor
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline.services.audit.signing import generate
from m2m_pipeline.services.checks import Check
from m2m_pipeline.storage.database import DatabaseUnavailableError
from m2m_pipeline_tests.notices.receiver import Receiver
from m2m_pipeline_tests.orchestration.test_catalog import build
from m2m_pipeline_tests.world import TENANT, World

# Dagster itself hands its beta parameter on where it attaches a job to its sensor.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Parameter `owners` of initializer:dagster_shared.utils.warnings.BetaWarning"
)

SEAL, DELIVER, WATCH = seal_sensor(30), notice_sensor(), watch_sensor({})
NOWHERE = "postgresql+psycopg://m2m:none@127.0.0.1:1/m2m"
SCHEDULES = {
    "sign_audit_digests_regularly": ("audit_digest", "M2M_AUDIT_DIGEST_CRON"),
    "verify_audit_log_regularly": ("audit_verification", "M2M_AUDIT_VERIFY_CRON"),
    "check_regularly": ("checks", "M2M_CHECK_CRON"),
    "purge_regularly": ("retention", "M2M_RETENTION_CRON"),
    "sum_up_yesterday": ("daily_statistics_job", "M2M_DAILY_CRON"),
}
OTHER_SCHEDULES = {"reconcile_regularly": ("reconciliation", "M2M_RECONCILE_CRON")}
"""Asks for a run for each provider."""


@pytest.fixture
def receiver(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """Where the notices of the world's tenant go; it is allowed to be on this machine."""
    assert world
    with Receiver() as receiver:
        monkeypatch.setenv("M2M_WEBHOOK_HOSTS", receiver.host)
        platform = Platform()
        platform.services.destinations.store(TENANT, DestinationKind.WEBHOOK, receiver.url, None, "test")
        platform.services.close()
        yield receiver


@pytest.fixture
def digests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where digests go."""
    secret, _ = generate()
    monkeypatch.setenv("M2M_AUDIT_DIGEST_TARGET", str(tmp_path / "digests"))
    monkeypatch.setenv("M2M_AUDIT_SIGNING_KEY", secret)
    return tmp_path / "digests"


def tick(sensor: dg.SensorDefinition, platform: Platform, instance: dg.DagsterInstance) -> str:
    """What one look of a sensor says, which never asks for a run."""
    with dg.build_sensor_context(instance=instance, resources={"platform": platform}) as context:
        data = sensor.evaluate_tick(context)
    assert not data.run_requests
    return str(data.skip_message)


def sign(platform: Platform, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """The run that the schedule of the digests asks for."""
    return audit_digest.execute_in_process(resources={"platform": platform}, instance=instance)


def verify(platform: Platform, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """The run that the schedule of the verification asks for."""
    return audit_verification.execute_in_process(resources={"platform": platform}, instance=instance)


def test_a_tick_seals_each_new_entry_and_the_next_one_none(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    world.run(world.submit().bulk_change_id)
    written = world.count("audit_entry")

    assert written
    assert world.count("audit_link") == 0
    assert tick(SEAL, platform, instance) == f"{written} entries were sealed."
    assert tick(SEAL, platform, instance) == "Every entry is sealed."
    assert world.count("audit_link") == world.count("audit_entry")


def test_a_tick_delivers_what_is_due_and_the_next_one_nothing(
    world: World, receiver: Receiver, platform: Platform, instance: dg.DagsterInstance
) -> None:
    assert tick(DELIVER, platform, instance) == "No notice is due."
    world.submit_and_run()

    assert tick(DELIVER, platform, instance) == "1 delivered, 0 to be tried again, 0 given up."
    assert tick(DELIVER, platform, instance) == "No notice is due."
    assert len(receiver.deliveries) == 1


def test_a_receiver_that_fails_is_tried_again_later_and_in_the_end_given_up_with_what_to_type(
    world: World,
    receiver: Receiver,
    platform: Platform,
    instance: dg.DagsterInstance,
    capfd: pytest.CaptureFixture[str],
) -> None:
    world.submit_and_run()
    receiver.status = 500

    assert tick(DELIVER, platform, instance) == "0 delivered, 1 to be tried again, 0 given up."
    assert tick(DELIVER, platform, instance) == "No notice is due."
    world.sql("UPDATE m2m.notice SET next_attempt_at = now(), trying_since = trying_since - interval '25 hours'")
    assert tick(DELIVER, platform, instance) == "0 delivered, 0 to be tried again, 1 given up."

    assert "see `m2m notices --status DEAD`" in "".join(capfd.readouterr())
    assert tick(DELIVER, platform, instance) == "No notice is due."
    assert len(receiver.deliveries) == 2


def test_a_tick_raises_an_alert_once_and_resolves_it_once_and_is_a_sign_of_life(
    world: World, platform: Platform, instance: dg.DagsterInstance, capfd: pytest.CaptureFixture[str]
) -> None:
    assert not world.services.alerting.health().is_alive
    assert tick(WATCH, platform, instance) == "Nothing has changed."
    assert world.services.alerting.health().is_alive

    bulk_change_id = world.submit().bulk_change_id
    world.sql("UPDATE m2m.bulk_change SET fruitless_attempts = 2")
    assert tick(WATCH, platform, instance) == "1 alerts raised, 0 resolved."
    assert f"ATTEMPTS_DIE, bulk change {bulk_change_id}: " in "".join(capfd.readouterr())
    assert tick(WATCH, platform, instance) == "Nothing has changed."
    world.sql("UPDATE m2m.bulk_change SET fruitless_attempts = 0")
    assert tick(WATCH, platform, instance) == "0 alerts raised, 1 resolved."
    assert tick(WATCH, platform, instance) == "Nothing has changed."


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("sensor", [SEAL, DELIVER, WATCH], ids=lambda sensor: sensor.name)
def test_a_database_that_does_not_answer_fails_the_tick_and_the_next_one_works(
    sensor: dg.SensorDefinition, platform: Platform, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, stamina.set_testing(True, attempts=2):
        patch.setenv("M2M_DATABASE_URL", NOWHERE)
        with pytest.raises(DatabaseUnavailableError, match="Trying again helps once the database is back"):
            tick(sensor, Platform(), instance)

    assert tick(sensor, platform, instance)


def test_digests_are_signed_once(world: World, digests: Path, platform: Platform, instance: dg.DagsterInstance) -> None:
    world.submit_and_run()
    assert sign(platform, instance).success
    written = {path.name: path.read_bytes() for path in digests.rglob("*.json")}
    assert sign(platform, instance).success

    assert len(written) == 1
    assert {path.name: path.read_bytes() for path in digests.rglob("*.json")} == written


def test_a_place_that_takes_no_digest_fails_the_run_and_the_next_one_writes_it(
    world: World, digests: Path, platform: Platform, instance: dg.DagsterInstance
) -> None:
    world.submit_and_run()
    digests.write_text("in the way")
    with pytest.raises(ArchiveUnavailableError, match=r"Trying again helps once .* M2M_AUDIT_DIGEST_TARGET"):
        sign(platform, instance)
    (told,) = platform.services.alerting.health().open_alerts
    assert (told.name, told.subject) == (AlertName.UPKEEP_FAILED, "audit_digest")

    digests.unlink()
    assert sign(platform, instance).success
    assert platform.services.alerting.health().open_alerts == []
    assert len(list(digests.rglob("*.json"))) == 1


def test_a_log_that_is_not_what_was_sealed_is_not_signed_and_the_run_says_what_to_do(
    world: World, digests: Path, platform: Platform, instance: dg.DagsterInstance
) -> None:
    world.submit_and_run()
    tick(SEAL, platform, instance)
    world.sql("ALTER TABLE m2m.audit_entry DISABLE TRIGGER USER; UPDATE m2m.audit_entry SET message = 'nothing'")

    with pytest.raises(dg.Failure, match=rf"{TENANT}: .* Trying again does not help: see `m2m audit verify`"):
        sign(platform, instance)
    assert not digests.exists()


def test_the_whole_log_is_verified_and_a_fault_before_the_last_digest_fails_the_run_and_is_told(
    world: World, digests: Path, platform: Platform, instance: dg.DagsterInstance
) -> None:
    assert digests
    world.submit_and_run()
    assert sign(platform, instance).success
    assert verify(platform, instance).success
    world.sql("ALTER TABLE m2m.audit_entry DISABLE TRIGGER USER; UPDATE m2m.audit_entry SET message = 'x' WHERE id = 2")
    recent = platform.services.checks.of_everything([Check.CHAIN_VERIFIES])

    with pytest.raises(dg.Failure, match=rf"{TENANT}: .* Trying again does not help: see `m2m audit verify`"):
        verify(platform, instance)
    assert recent[0].holds, "the hourly check begins at the last digest"
    (told,) = platform.services.alerting.health().open_alerts
    assert (told.name, told.subject) == (AlertName.UPKEEP_FAILED, "audit_verification")
    assert TENANT in told.detail


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
