"""A server that speaks SQS (and IAM) over a real socket, in a process of its own, and what a test does with it."""

import json
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from threading import RLock
from time import monotonic
from types import TracebackType
from typing import Any, Self

import httpx
from boto3.session import Session
from moto.server import ThreadedMotoServer
from moto.sqs.models import Message, Queue, SQSBackend

REGION = "eu-west-1"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test-5ecret"}
ISOLATED = {
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""Nothing of the machine's own AWS configuration."""


class AwsServer:
    """Runs while it is entered."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", __name__]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=20)  # it ends with its standard input, and so with us

    def client(self, service: str, keys: Mapping[str, str] = KEYS) -> Any:  # noqa: ANN401 - boto3 makes them at run time
        """A client as anybody has it."""
        session = Session(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"], region_name=REGION)
        return session.client(service, endpoint_url=self.url)

    def user(self, name: str, policy: str) -> dict[str, str]:
        """Keys of a user who may do what the policy says."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    @contextmanager
    def guarded(self) -> Generator[None]:
        """Policies are in force: until then everybody may do everything."""
        self._free_calls("0")
        try:
            yield
        finally:
            self._free_calls("inf")

    def _free_calls(self, count: str) -> None:
        httpx.post(
            f"{self.url}/moto-api/reset-auth", content=count, headers={"content-type": "text/plain"}, trust_env=False
        ).raise_for_status()


class Mailbox:
    """A queue with a dead-letter queue, as the sender and the operator see it. Times in seconds."""

    def __init__(self, server: AwsServer, name: str, *, visibility: int = 30, max_deliveries: int = 5) -> None:
        self._sqs = server.client("sqs")
        self._dead_url: str = self._sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
        redrive = {
            "deadLetterTargetArn": self._attributes(self._dead_url)["QueueArn"],
            "maxReceiveCount": max_deliveries,
        }
        attributes = {"VisibilityTimeout": str(visibility), "RedrivePolicy": json.dumps(redrive)}
        self.url: str = self._sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        self.settings = {
            "M2M_SQS_QUEUE_URL": self.url,
            "M2M_SQS_REGION": REGION,
            "M2M_SQS_ENDPOINT_URL": server.url,
        }

    def send(self, content: object) -> str:
        """Send a message, as JSON unless it is text; its id."""
        body = content if isinstance(content, str) else json.dumps(content)
        return str(self._sqs.send_message(QueueUrl=self.url, MessageBody=body)["MessageId"])

    def release(self, receipt: str) -> None:
        """What happens when a visibility timeout ends."""
        self._sqs.change_message_visibility(QueueUrl=self.url, ReceiptHandle=receipt, VisibilityTimeout=0)

    def left(self) -> int:
        """Messages that are not deleted, in flight or not."""
        return _messages(self._attributes(self.url))

    def in_flight(self) -> int:
        """Messages that somebody has received and not deleted."""
        return int(self._attributes(self.url)["ApproximateNumberOfMessagesNotVisible"])

    def dead(self) -> int:
        """Messages in the dead-letter queue."""
        return _messages(self._attributes(self._dead_url))

    def dead_ids(self) -> set[str]:
        """The ids of the dead letters; they are in flight afterwards."""
        found: set[str] = set()
        while answer := self._sqs.receive_message(QueueUrl=self._dead_url, MaxNumberOfMessages=10).get("Messages"):
            found |= {one["MessageId"] for one in answer}
        return found

    def _attributes(self, url: str) -> dict[str, str]:
        return self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]


def _messages(attributes: Mapping[str, str]) -> int:
    names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    return sum(int(attributes[name]) for name in names)


def _one_at_a_time() -> None:
    """Of those who send, receive and delete, each is alone at the queues; a receiver that waits lets the others in.

    The server keeps its queues without a lock: of two receivers at the same moment both may get a message that is
    hidden from the one or the other, and of two deletions one is lost.
    """
    lock = RLock()
    receive, delete, add = SQSBackend.receive_message, Queue.delete_message, Queue.add_message

    def receive_alone(  # noqa: PLR0917 - the parameters are the server's
        self: SQSBackend,
        queue_name: str,
        count: int,
        wait_seconds_timeout: int,
        visibility_timeout: int,
        message_attribute_names: list[str] | None = None,
    ) -> list[Message]:
        end = monotonic() + wait_seconds_timeout
        while True:
            with lock:
                found = receive(self, queue_name, count, 0, visibility_timeout, message_attribute_names)
            if found or monotonic() >= end:
                return found
            self.get_queue(queue_name).wait_for_messages(1)

    def delete_alone(self: Queue, receipt_handle: str) -> None:
        with lock:
            delete(self, receipt_handle)

    def add_alone(self: Queue, message: Message) -> None:
        with lock:
            add(self, message)

    SQSBackend.receive_message, Queue.delete_message, Queue.add_message = receive_alone, delete_alone, add_alone


if __name__ == "__main__":
    _one_at_a_time()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    print("http://{}:{}".format(*server.get_host_and_port()), flush=True)  # noqa: T201 - how the test learns of it
    sys.stdin.read()
    server.stop()
