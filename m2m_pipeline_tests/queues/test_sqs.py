"""The adapter: what AWS answers, in our words; and the policy that the documentation gives is enough."""

import json
import re
from pathlib import Path

import pytest

import m2m_pipeline
from m2m_pipeline.aws import sqs
from m2m_pipeline.aws.sqs import SqsQueue
from m2m_pipeline.domain.inbox import QueueUnavailableError
from m2m_pipeline_tests.queues.conftest import OpenQueue
from m2m_pipeline_tests.queues.server import KEYS, REGION, AwsServer, Mailbox

DOCS = (Path(m2m_pipeline.__file__).parents[1] / "docs" / "sqs.md").read_text(encoding="utf-8")


def use(monkeypatch: pytest.MonkeyPatch, keys: dict[str, str]) -> None:
    for name, value in keys.items():
        monkeypatch.setenv(name, value)


def trouble(queue: SqsQueue) -> str:
    """What a person reads when nothing can be received."""
    with pytest.raises(QueueUnavailableError) as unavailable:
        queue.receive()
    queue.close()
    return str(unavailable.value)


def test_a_message_comes_with_its_id_sender_and_count_of_deliveries(mailbox: Mailbox, open_queue: OpenQueue) -> None:
    message_id = mailbox.send("text")
    queue = open_queue(mailbox)
    (first,) = queue.receive()
    mailbox.release(first.receipt)
    (second,) = queue.receive()

    assert (first.id, second.id, second.body) == (message_id, message_id, "text")
    assert (first.deliveries, second.deliveries) == (1, 2)
    assert first.sender not in {"", "unknown"}


def test_neither_body_nor_receipt_shows_in_a_log(mailbox: Mailbox, open_queue: OpenQueue) -> None:
    mailbox.send("canary-5ecret")
    (message,) = open_queue(mailbox).receive()
    assert "canary" not in repr(message)
    assert message.receipt not in repr(message)


def test_an_empty_queue_is_waited_for_and_then_is_empty(
    mailbox: Mailbox, open_queue: OpenQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqs, "LONG_POLL_SECONDS", 1)
    assert open_queue(mailbox).receive() == []


def test_the_documented_policy_is_enough_and_nothing_else_is_needed(
    aws: AwsServer, open_queue: OpenQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    (policy,) = [block for block in re.findall(r"```json\n(.*?)```", DOCS, re.DOTALL) if "Statement" in block]
    mailbox = Mailbox(aws, "m2m-requests")
    other = Mailbox(aws, "others-requests")
    mailbox.send("one")
    use(monkeypatch, aws.user("intake", policy))
    queue, stranger = open_queue(mailbox), open_queue(other)

    with aws.guarded():
        (message,) = queue.receive()
        queue.delete(message)
        assert "does not let us in" in trouble(stranger)
    assert mailbox.left() == 0


@pytest.mark.parametrize("action", ["sqs:ReceiveMessage", "sqs:DeleteMessage"])
def test_without_either_action_the_message_says_what_was_refused_and_where_the_policy_is(
    aws: AwsServer, open_queue: OpenQueue, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    call = action.removeprefix("sqs:")
    mailbox = Mailbox(aws, f"without-{call}")
    mailbox.send("one")
    (message,) = open_queue(mailbox).receive()
    others = {"sqs:ReceiveMessage", "sqs:DeleteMessage"} - {action}
    statement = {"Effect": "Allow", "Action": sorted(others), "Resource": "*"}
    keys = aws.user(f"no-{call}", json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    use(monkeypatch, keys)
    queue = open_queue(mailbox)

    refused = queue.receive if call == "ReceiveMessage" else (lambda: queue.delete(message))
    with aws.guarded(), pytest.raises(QueueUnavailableError) as denied:
        refused()

    told = str(denied.value)
    assert f"queue without-{call}" in told
    assert call in told
    assert "docs/sqs.md" in told
    assert "Nothing is lost" in told
    assert not any(value in told for value in keys.values())


def test_keys_that_aws_does_not_know_are_told(aws: AwsServer, open_queue: OpenQueue, mailbox: Mailbox) -> None:
    queue = open_queue(mailbox)
    with aws.guarded():
        told = trouble(queue)
    assert "does not let us in" in told
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in told


def test_a_queue_that_does_not_exist_is_told(aws: AwsServer) -> None:
    told = trouble(SqsQueue(f"{aws.url}/123456789012/none-such", REGION, aws.url))
    assert "queue none-such: there is no such queue" in told
    assert "M2M_SQS_QUEUE_URL" in told


def test_a_server_that_does_not_answer_is_told_and_may_be_tried_again() -> None:
    told = trouble(SqsQueue("http://127.0.0.1:1/123456789012/requests", REGION, "http://127.0.0.1:1"))
    assert "no answer" in told
    assert "Trying again helps" in told


def test_missing_credentials_are_told_with_what_gives_them(aws: AwsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name)
    told = trouble(SqsQueue(f"{aws.url}/123456789012/requests", REGION, aws.url))
    assert "credentials cannot be had" in told
    assert "AWS_ACCESS_KEY_ID" in told


def test_a_missing_region_is_told_with_its_setting() -> None:
    with pytest.raises(QueueUnavailableError, match="M2M_SQS_REGION"):
        SqsQueue("https://sqs.eu-west-1.amazonaws.com/123456789012/requests")
