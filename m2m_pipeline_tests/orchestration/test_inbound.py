"""The intake sensor: only a deployment that names a queue has it; a tick says what it did, and fails with a reason."""

import subprocess
import sys

import dagster as dg
import pytest

from m2m_pipeline.domain.inbox import QueueUnavailableError
from m2m_pipeline.orchestration.inbound import InboundQueue, intake_sensor
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline.settings import Settings
from m2m_pipeline.storage.database import DatabaseUnavailableError
from m2m_pipeline_tests.queues.conftest import aws, aws_environment, mailbox
from m2m_pipeline_tests.queues.server import Mailbox
from m2m_pipeline_tests.queues.taking import effects, request
from m2m_pipeline_tests.world import TENANT, World

__all__ = ["aws", "aws_environment", "mailbox"]

SENSOR = intake_sensor()
NOWHERE = "postgresql+psycopg://m2m:none@127.0.0.1:1/m2m"
BODY = "canary-5ecret"


@pytest.fixture(autouse=True)
def inbound_settings(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mailbox is the queue of this process."""
    for name, value in {**mailbox.settings, "M2M_SQS_TENANT": TENANT}.items():
        monkeypatch.setenv(name, value)


def tick(platform: Platform, instance: dg.DagsterInstance) -> str:
    """What one look at the queue says."""
    resources = {"platform": platform, "inbound": InboundQueue()}
    with dg.build_sensor_context(instance=instance, resources=resources) as context:
        result = SENSOR(context)
    assert isinstance(result, dg.SkipReason)
    return str(result.skip_message)


@pytest.mark.usefixtures("world")
def test_an_empty_queue_is_skipped_with_a_reason(
    platform: Platform, instance: dg.DagsterInstance, mailbox: Mailbox
) -> None:
    assert tick(platform, instance) == f"Queue {mailbox.url.rsplit('/', 1)[-1]} is empty."


def test_a_tick_says_what_it_did_and_nothing_of_what_was_written(
    world: World,
    platform: Platform,
    instance: dg.DagsterInstance,
    mailbox: Mailbox,
    capfd: pytest.CaptureFixture[str],
) -> None:
    ids = [
        mailbox.send(request(world, 0)),
        mailbox.send(request(world, 1)),
        mailbox.send(request(world, 2, rate_plan=BODY)),
        mailbox.send(BODY),
    ]
    assert tick(platform, instance).endswith(": 2 accepted, 1 left, 1 rejected.")

    logged = "".join(capfd.readouterr())
    assert all(message_id in logged for message_id in ids)
    assert f"m2m inbox {ids[2]}" in logged
    assert BODY not in logged
    assert effects(world) == (2, 2, 3)


@pytest.mark.usefixtures("world")
def test_a_queue_that_does_not_answer_fails_the_tick_and_is_no_empty_queue(
    platform: Platform, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("M2M_SQS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(QueueUnavailableError, match="no answer"):
        tick(platform, instance)


@pytest.mark.usefixtures("world")
def test_a_database_that_does_not_answer_fails_the_tick_and_loses_nothing(
    platform: Platform, instance: dg.DagsterInstance, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailbox.send("{}")
    monkeypatch.setenv("M2M_DATABASE_URL", NOWHERE)
    with pytest.raises(DatabaseUnavailableError):
        tick(platform, instance)
    assert (mailbox.left(), mailbox.in_flight()) == (1, 0)


def sensors(queue_url: str) -> dict[str, dg.SensorDefinition]:
    """The sensors of a deployment with that queue."""
    from m2m_pipeline.definitions import build_definitions  # noqa: PLC0415 - reads the environment

    definitions = build_definitions(Settings.model_validate({"database_url": NOWHERE, "sqs_queue_url": queue_url}))
    dg.Definitions.validate_loadable(definitions)
    return {one.name: one for one in definitions.sensors or []}


def test_without_a_queue_there_is_no_sensor_and_with_one_it_runs_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    # No credentials are needed to load.
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)

    monkeypatch.setenv("M2M_DATABASE_URL", NOWHERE)
    assert "sqs_intake" not in sensors("")
    sensor = sensors("https://sqs.eu-west-1.amazonaws.com/123456789012/m2m-requests")["sqs_intake"]
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert not sensor.targets


def test_without_a_queue_nothing_of_aws_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2M_DATABASE_URL", NOWHERE)
    monkeypatch.setenv("M2M_SQS_QUEUE_URL", "")
    program = "import sys, m2m_pipeline.definitions; sys.exit('boto3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
