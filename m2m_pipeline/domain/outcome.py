"""What became of one call to a carrier. Values, not exceptions: one device's fate never stops another's.

The question each class answers is the only one that matters afterwards: may the change have happened?
"""

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from m2m_pipeline.domain.reasons import ReasonCode

GATE_CLOSED = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
"""By these a gate tells the account to come back later. What became of the call they do not tell by themselves."""


class Scope(StrEnum):
    """For whom a refusal holds."""

    DEVICE = "DEVICE"  # this device; the next may fare better
    REQUEST = "REQUEST"  # every device of the bulk change
    ACCOUNT = "ACCOUNT"  # every call on the carrier account


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, for the audit: HTTP status and carrier code where there were any, words of ≤ 200 characters."""

    http_status: int | None = None
    carrier_code: str | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Applied:
    """The carrier says that it did. A claim: verification turns it into knowledge.

    `pending` is True where the carrier only accepted the change (202) and says so.
    """

    answer: Answer
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The carrier said no, and did nothing."""

    answer: Answer
    reason: ReasonCode
    scope: Scope


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The call surely did not take effect (never connected, or turned away at the gate). It may be sent again.

    `throttled`: the account was over its limit; waiting costs the device no attempt. `retry_after` is in seconds.
    `abandoned`: a read that we waited for no longer; the carrier may be at it still.
    """

    answer: Answer
    reason: ReasonCode
    throttled: bool = False
    retry_after: float | None = None
    abandoned: bool = False


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """The bytes left and no believable answer came. The device is read before anything is sent again.

    `retry_after` is in seconds, where a closed gate named a time to come back and yet not what became of the call.
    `abandoned`: we waited for the answer no longer; the carrier may be at the call still.
    """

    answer: Answer
    retry_after: float | None = None
    abandoned: bool = False


class LastAnswer(StrEnum):
    """What a device's last change call was answered, where it counts for what may follow."""

    CLAIMED = "CLAIMED"  # done, the carrier says: to be confirmed, and never sent beside it
    ACCEPTED = "ACCEPTED"  # 202: the carrier will do it, it has not done it
    TURNED_AWAY = "TURNED_AWAY"  # by a closed gate (429, 503), which may have let it through all the same


ChangeOutcome = Applied | Refused | Unreachable | Unconfirmed
ReadFailure = Refused | Unreachable
