"""Requests that come as messages: one delivery, what became of a message, and the port that a queue's adapter fills."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from m2m_pipeline.domain.problems import Problem


class InboxStatus(StrEnum):
    """What became of a message that could be read."""

    ACCEPTED = "ACCEPTED"  # it is a bulk change, its own or that of an earlier message with the same key
    REJECTED = "REJECTED"  # its request does not hold; every reason is kept with it


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery. The same message may be delivered again, with another receipt, until one is deleted."""

    id: str
    body: str = field(repr=False)
    receipt: str = field(repr=False)
    sender: str  # who sent it, as the queue knows them
    deliveries: int  # this one included; approximate


@dataclass(frozen=True, slots=True)
class Received:
    """The record of a message: made once, with its bulk change in the same commit, however often it is delivered."""

    message_id: str
    idempotency_key: str | None
    sender: str
    status: InboxStatus
    bulk_change_id: int | None
    problems: tuple[Problem, ...]
    received_at: datetime


class QueueUnavailableError(Exception):
    """The queue does not do what it was asked. Nothing is lost: what was not deleted is delivered again."""


class MessageQueue(Protocol):
    """A queue that delivers at least once, and again what is not deleted within its visibility timeout."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def receive(self) -> Sequence[Message]:
        """The next few messages, as soon as there is one; none where the queue stays empty for some seconds.

        Raises:
            QueueUnavailableError: it does not answer, or does not let us in.

        """
        ...

    def delete(self, message: Message) -> None:
        """Have the message delivered no more. A receipt that has grown stale deletes nothing: it is delivered again.

        Raises:
            QueueUnavailableError: as `receive`.

        """
        ...

    def close(self) -> None:
        """Give the connections back."""
        ...
