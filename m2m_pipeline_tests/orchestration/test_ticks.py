"""What sealer, deliverer, watcher and schedules do by themselves: their work once, or a reason, or what helps."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import stamina

from m2m_pipeline.domain.alerts import AlertName
from m2m_pipeline.domain.digests import ArchiveUnavailableError
from m2m_pipeline.domain.notices import DestinationKind
from m2m_pipeline.orchestration.auditing import audit_digest, audit_verification, seal_sensor
from m2m_pipeline.orchestration.notices import notice_sensor, watch_sensor
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline.services.checks import Check
from m2m_pipeline.storage.database import DatabaseUnavailableError
from m2m_pipeline_tests.notices.receiver import Receiver
from m2m_pipeline_tests.orchestration.location import tick
from m2m_pipeline_tests.world import TENANT, World

SEAL, DELIVER, WATCH = seal_sensor(30), notice_sensor(), watch_sensor({})
NOWHERE = "postgresql+psycopg://m2m:none@127.0.0.1:1/m2m"


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
