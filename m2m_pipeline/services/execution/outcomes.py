"""From what the carrier said of a device to the device's next state: pure decisions, nothing is called or stored."""

from dataclasses import replace
from typing import assert_never

from m2m_pipeline.domain.audit import AuditKind
from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.domain.change import DeviceWork, Step
from m2m_pipeline.domain.outcome import (
    GATE_CLOSED,
    Applied,
    ChangeOutcome,
    LastAnswer,
    Refused,
    Unconfirmed,
    Unreachable,
)
from m2m_pipeline.domain.reasons import REASONS, ReasonCode
from m2m_pipeline.domain.status import DeviceStatus

MAX_ATTEMPTS = 3
"""Calls for one device that the carrier may have seen. Waiting for the budget or for a carrier that is away is none."""


def after_call(device: DeviceWork, outcome: ChangeOutcome) -> Step:
    """The state that the answer to a change call leads to. `device.attempts` counts the call."""
    step = _Stepper(replace(device, last_answer=_last_answer(outcome)), AuditKind.CARRIER_CALL, outcome)
    match outcome:
        case Applied():
            return step.to(DeviceStatus.APPLIED)
        case Refused():
            return step.to(
                DeviceStatus.REFUSED, outcome.reason, outcome.answer.message or REASONS[outcome.reason].title
            )
        case Unreachable():
            return _not_received(device, outcome, step)
        case Unconfirmed():
            return step.to(DeviceStatus.UNCONFIRMED, ReasonCode.OUTCOME_UNKNOWN, outcome.answer.message)
        case _:
            assert_never(outcome)


def _last_answer(outcome: ChangeOutcome) -> LastAnswer | None:
    match outcome:
        case Applied(pending=pending):
            return LastAnswer.ACCEPTED if pending else LastAnswer.CLAIMED
        case Unconfirmed(answer) if answer.http_status in GATE_CLOSED:
            return LastAnswer.TURNED_AWAY
        case _:
            return None


def _not_received(device: DeviceWork, outcome: Unreachable, step: "_Stepper") -> Step:
    """What follows from a call that surely had no effect: it is taken back, and its attempt where it was but a wait."""
    if outcome.throttled or outcome.answer.http_status is None:
        return step.to(DeviceStatus.PENDING, attempts=device.attempts - 1)
    if device.attempts >= MAX_ATTEMPTS:  # a gateway that turns this call away each time is no wait
        return step.to(DeviceStatus.REFUSED, ReasonCode.ATTEMPTS_EXHAUSTED, outcome.answer.message)
    return step.to(DeviceStatus.PENDING)


def withdrawn(device: DeviceWork) -> Step:
    """The call did not leave.

    Before its moment the account got into trouble, the bulk change was stopped, or the lease came too near its end; or
    it would have left too late.
    """
    return _Stepper(device, None, None).to(DeviceStatus.PENDING, attempts=device.attempts - 1)


def after_reading(
    device: DeviceWork, reading: DeviceReading | Refused, *, settled: bool, over: bool = False, away: bool = False
) -> Step | None:
    """The state that a reading leads to, or None while the device may still be settling.

    `settled`: the carrier has had its settle time since the call. `over`: the bulk change has ended and nothing is sent
    any more, so a change that was not made is not going to be. `away`: the whole account has been silent since the
    call: one that was not made then was a wait, and no attempt.
    """
    confirms = isinstance(reading, DeviceReading) and reading.shows(device.rate_plan, device.communication_plan)
    # A confirmed claim is told by the call's own entry and by AMOP's; any other reading is news.
    told = None if confirms and device.status is DeviceStatus.APPLIED else AuditKind.CARRIER_READ
    step = _Stepper(device, told, reading)
    if isinstance(reading, Refused):
        message = reading.answer.message or REASONS[reading.reason].title
        if reading.reason is ReasonCode.CARRIER_DEVICE_UNKNOWN:
            return step.to(DeviceStatus.REFUSED, reading.reason, message)
        return step.to(DeviceStatus.UNCONFIRMED, ReasonCode.OUTCOME_UNKNOWN, message)  # no word on the change
    if confirms:
        return step.to(DeviceStatus.APPLIED, verified=True)
    if not settled:
        return None
    if not _shows_old_plan(device, reading):
        plans = f'rate plan "{reading.rate_plan}", communication plan "{reading.communication_plan}"'
        return step.to(DeviceStatus.REFUSED, ReasonCode.PLAN_CONFLICT, f"The carrier shows {plans}.")
    return _not_applied(device, reading, step, over=over, away=away)


def _not_applied(device: DeviceWork, reading: DeviceReading, step: "_Stepper", *, over: bool, away: bool) -> Step:
    """What follows when the carrier has had its time and the device is still on its old plan."""
    if device.last_answer is LastAnswer.ACCEPTED and not over:
        message = "The carrier accepted the change (202) and has not made it yet."
        return step.to(DeviceStatus.UNCONFIRMED, ReasonCode.OUTCOME_UNKNOWN, message)
    if device.status is DeviceStatus.APPLIED or device.last_answer in {LastAnswer.CLAIMED, LastAnswer.ACCEPTED}:
        message = f'The carrier accepted the change but still shows the rate plan "{reading.rate_plan}".'
        return step.to(DeviceStatus.REFUSED, ReasonCode.ACCEPTED_NOT_APPLIED, message)
    if (away or device.last_answer is LastAnswer.TURNED_AWAY) and not over:
        return step.to(DeviceStatus.PENDING, attempts=device.attempts - 1)
    if device.attempts >= MAX_ATTEMPTS or over:
        message = f'After {device.attempts} attempts the carrier still shows the rate plan "{reading.rate_plan}".'
        return step.to(DeviceStatus.REFUSED, ReasonCode.ATTEMPTS_EXHAUSTED, message)
    return step.to(DeviceStatus.PENDING)


def unknown(device: DeviceWork, message: str) -> Step:
    """The device's outcome cannot be learned now: left to reconciliation."""
    step = _Stepper(device, None, None)
    return step.to(DeviceStatus.UNCONFIRMED, ReasonCode.OUTCOME_UNKNOWN, message)


def scheduled(device: DeviceWork) -> Step:
    """The carrier took a change that holds from a day to come: nothing to be seen until then."""
    message = f"Accepted by the carrier for {device.effective_date}."
    return _Stepper(device, None, None).to(DeviceStatus.UNCONFIRMED, ReasonCode.SCHEDULED, message)


def with_old_plans(device: DeviceWork, reading: DeviceReading | Refused) -> DeviceWork:
    """The device with the old plans that nobody knew, as a reading tells them that does not show the new ones."""
    if isinstance(reading, Refused):
        return device
    rate_plan, communication_plan = device.old_rate_plan, device.old_communication_plan
    if rate_plan is None and reading.rate_plan != device.rate_plan:
        rate_plan = reading.rate_plan
    if communication_plan is None and reading.communication_plan != device.communication_plan:
        communication_plan = reading.communication_plan
    return replace(device, old_rate_plan=rate_plan, old_communication_plan=communication_plan)


def _shows_old_plan(device: DeviceWork, reading: DeviceReading) -> bool:
    """Whether neither plan has moved, or only one of the two that were asked for: it may be under way."""
    rate_plan_known = device.old_rate_plan is None or reading.rate_plan in {device.old_rate_plan, device.rate_plan}
    communication_plan_known = (
        device.communication_plan is None
        or device.old_communication_plan is None
        or reading.communication_plan in {device.old_communication_plan, device.communication_plan}
    )
    return rate_plan_known and communication_plan_known


class _Stepper:
    """Fills what every step of one decision has in common."""

    def __init__(self, device: DeviceWork, entry: AuditKind | None, said: ChangeOutcome | DeviceReading | None) -> None:
        self._device = device
        self._entry = entry
        self._answer = None if said is None or isinstance(said, DeviceReading) else said.answer

    def to(
        self,
        status: DeviceStatus,
        reason: ReasonCode | None = None,
        message: str | None = None,
        *,
        verified: bool = False,
        attempts: int | None = None,
    ) -> Step:
        return Step(
            self._device.id,
            status,
            reason,
            message or (self._answer.message if self._answer else None) or None,
            self._answer.http_status if self._answer else None,
            self._answer.carrier_code if self._answer else None,
            verified,
            self._device.attempts if attempts is None else attempts,
            self._entry,
            None if status is DeviceStatus.PENDING else self._device.last_answer,
            self._device.old_rate_plan,
            self._device.old_communication_plan,
        )
