"""Notices: what is told to a destination outside, at least once, and the port that each kind of destination fills."""

import random
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class DestinationKind(StrEnum):
    """How a destination is reached."""

    WEBHOOK = "WEBHOOK"  # an HTTP POST, signed
    SQS = "SQS"  # a message to an Amazon SQS queue
    EMAIL = "EMAIL"  # a mail through the configured SMTP server


class EventType(StrEnum):
    """What a notice tells."""

    BULK_CHANGE_ENDED = "bulk_change.ended"
    DRIFT_CHANGED = "drift.changed"
    ALERT_RAISED = "alert.raised"
    ALERT_RESOLVED = "alert.resolved"
    TEST = "test"


class NoticeStatus(StrEnum):
    """How far a notice is."""

    PENDING = "PENDING"  # to be delivered, or to be tried again
    DELIVERED = "DELIVERED"  # the destination said that it has it
    DEAD = "DEAD"  # given up, with the reason; `m2m notices retry ID` drives it again


class ForbiddenAddressError(Exception):
    """No notice may be sent to the address; the message says why."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the notices of a tenant go; of the operators, where `tenant_id` is None."""

    id: int
    tenant_id: int | None
    kind: DestinationKind
    address: str
    secrets: tuple[str, ...] = field(default=(), repr=False)  # a webhook's, the newest first: all sign


@dataclass(frozen=True, slots=True)
class Event:
    """What goes out. The id and the bytes of the body are the same at each delivery."""

    id: str
    type: EventType
    body: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Failed:
    """A delivery that was not confirmed: the destination may have it all the same. `final`: no retry will help."""

    why: str
    final: bool = False


class Sender(Protocol):
    """Delivers to destinations of one kind."""

    async def send(self, destination: Destination, event: Event) -> Failed | None:
        """Deliver once; None where the destination confirmed it. Ends within `SEND_SECONDS`, and raises nothing."""
        ...


SEND_SECONDS = 30.0
"""No delivery may take longer: the claim of a notice lasts twice as long, so that nobody else delivers it meanwhile."""

FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 5.0, 3600.0


def delay_after(attempts: int) -> float:
    """Seconds until the next attempt: doubled each time, up to an hour, and spread so that a crowd does not return."""
    longest = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(attempts - 1, 20))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - to spread, not to hide
