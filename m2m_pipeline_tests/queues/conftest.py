"""A server that speaks SQS for each worker; a mailbox and a world of its own for each test."""

import secrets
from collections.abc import Generator
from contextlib import ExitStack
from typing import Protocol, TypeVar, cast, overload

import pytest

from m2m_pipeline.aws import sqs
from m2m_pipeline.aws.sqs import SqsQueue
from m2m_pipeline_tests.queues.server import ISOLATED, KEYS, REGION, AwsServer, Mailbox
from m2m_pipeline_tests.services.conftest import MakeWorld, carrier_url, make_world, shared_control
from m2m_pipeline_tests.world import Options, World

__all__ = ["carrier_url", "make_world", "shared_control"]

_Queue = TypeVar("_Queue", bound=SqsQueue)


class OpenQueue(Protocol):
    """Opens a mailbox as the intake does."""

    @overload
    def __call__(self, mailbox: Mailbox) -> SqsQueue: ...
    @overload
    def __call__(self, mailbox: Mailbox, kind: type[_Queue]) -> _Queue: ...


@pytest.fixture(scope="session")
def aws() -> Generator[AwsServer]:
    with AwsServer() as server:
        yield server


@pytest.fixture(autouse=True)
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys for this process; and an empty queue is known at once."""
    for name, value in {**ISOLATED, **KEYS}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sqs, "LONG_POLL_SECONDS", 0)


@pytest.fixture
def mailbox(aws: AwsServer) -> Mailbox:
    return Mailbox(aws, f"requests-{secrets.token_hex(4)}")


@pytest.fixture
def open_queue(aws: AwsServer) -> Generator[OpenQueue]:
    """Opens mailboxes as the intake does; `kind` is a class of queue that behaves otherwise."""
    with ExitStack() as stack:

        def opened(mailbox: Mailbox, kind: type[SqsQueue] = SqsQueue) -> SqsQueue:
            queue = kind(mailbox.url, REGION, aws.url)
            stack.callback(queue.close)
            return queue

        yield cast("OpenQueue", opened)


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """Sixty devices, so that fifty messages need not share any."""
    return make_world(Options(devices=60))
