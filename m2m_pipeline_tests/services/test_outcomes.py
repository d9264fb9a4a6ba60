"""From what the carrier said to the next state: as tables, and never along an illegal transition."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.domain.change import DeviceWork
from m2m_pipeline.domain.outcome import (
    Answer,
    Applied,
    ChangeOutcome,
    LastAnswer,
    Refused,
    Scope,
    Unconfirmed,
    Unreachable,
)
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.status import DEVICE_TRANSITIONS, DeviceStatus
from m2m_pipeline.services.execution.outcomes import (
    MAX_ATTEMPTS,
    after_call,
    after_reading,
    scheduled,
    unknown,
    withdrawn,
)

OLD, NEW, THIRD = "Old", "New", "Third"
CLAIMED, ACCEPTED, TURNED_AWAY = LastAnswer
SENDING, UNCONFIRMED, APPLIED = DeviceStatus.SENDING, DeviceStatus.UNCONFIRMED, DeviceStatus.APPLIED


def work(
    status: DeviceStatus,
    *,
    attempts: int = 1,
    comm: str | None = None,
    answer: LastAnswer | None = None,
    old: str | None = OLD,
) -> DeviceWork:
    """A device after its call; APPLIED is a claim, unless the carrier said less."""
    return DeviceWork(
        id=1,
        iccid="8" * 19,
        status=status,
        old_rate_plan=old,
        old_communication_plan="Comm Old",
        rate_plan=NEW,
        communication_plan=comm,
        effective_date=None,
        attempts=attempts,
        sent_at=None,
        last_answer=LastAnswer.CLAIMED if status is APPLIED and answer is None else answer,
    )


def reading(rate_plan: str | None, communication_plan: str | None = "Comm Old") -> DeviceReading:
    return DeviceReading("8" * 19, rate_plan, communication_plan)


UNREACHABLE = ReasonCode.CARRIER_UNREACHABLE
LIMITED = ReasonCode.CARRIER_RATE_LIMITED
CALLS: Mapping[str, tuple[int, ChangeOutcome, str, str | None, int]] = {
    "applied": (1, Applied(Answer(200)), "APPLIED", None, 1),
    "accepted": (1, Applied(Answer(202), pending=True), "APPLIED", None, 1),
    "refused": (
        1,
        Refused(Answer(400, "1", "no"), ReasonCode.CARRIER_REFUSED, Scope.DEVICE),
        "REFUSED",
        "CARRIER_REFUSED",
        1,
    ),
    "no connection": (1, Unreachable(Answer(), UNREACHABLE), "PENDING", None, 0),
    "no connection, third time": (3, Unreachable(Answer(), UNREACHABLE), "PENDING", None, 2),
    "over the limit": (1, Unreachable(Answer(400), LIMITED, throttled=True), "PENDING", None, 0),
    "a gateway's page": (1, Unreachable(Answer(404), UNREACHABLE), "PENDING", None, 1),
    "a gateway's page, third time": (3, Unreachable(Answer(404), UNREACHABLE), "REFUSED", "ATTEMPTS_EXHAUSTED", 3),
    "answer lost": (1, Unconfirmed(Answer(message="reset")), "UNCONFIRMED", "OUTCOME_UNKNOWN", 1),
    "server error": (3, Unconfirmed(Answer(500, "30000001")), "UNCONFIRMED", "OUTCOME_UNKNOWN", 3),
}


@pytest.mark.parametrize(("attempts", "outcome", "status", "reason", "left"), CALLS.values(), ids=CALLS)
def test_what_follows_from_a_call(
    attempts: int, outcome: ChangeOutcome, status: str, reason: str | None, left: int
) -> None:
    step = after_call(work(SENDING, attempts=attempts), outcome)
    assert (step.status, step.reason, step.attempts, step.entry) == (status, reason, left, "CARRIER_CALL")
    assert (step.http_status, step.carrier_code) == (outcome.answer.http_status, outcome.answer.carrier_code)


READINGS: Mapping[str, tuple[DeviceWork, DeviceReading, bool, str | None, str | None]] = {
    "lost, new plan": (work(UNCONFIRMED), reading(NEW), False, "APPLIED", None),
    "lost, old plan, early": (work(UNCONFIRMED), reading(OLD), False, None, None),
    "lost, old plan": (work(UNCONFIRMED), reading(OLD), True, "PENDING", None),
    "lost, old plan, last": (work(UNCONFIRMED, attempts=3), reading(OLD), True, "REFUSED", "ATTEMPTS_EXHAUSTED"),
    "lost, third plan, early": (work(UNCONFIRMED), reading(THIRD), False, None, None),
    "lost, third plan": (work(UNCONFIRMED), reading(THIRD), True, "REFUSED", "PLAN_CONFLICT"),
    "lost, no plan": (work(UNCONFIRMED), reading(None), True, "REFUSED", "PLAN_CONFLICT"),
    "claimed, new plan": (work(APPLIED), reading(NEW), False, "APPLIED", None),
    "claimed, old plan, early": (work(APPLIED), reading(OLD), False, None, None),
    "claimed, old plan": (work(APPLIED), reading(OLD), True, "REFUSED", "ACCEPTED_NOT_APPLIED"),
    "claimed, third plan": (work(APPLIED), reading(THIRD), True, "REFUSED", "PLAN_CONFLICT"),
    "accepted, old plan": (work(APPLIED, answer=ACCEPTED), reading(OLD), True, "UNCONFIRMED", "OUTCOME_UNKNOWN"),
    "accepted, new plan": (work(APPLIED, answer=ACCEPTED), reading(NEW), True, "APPLIED", None),
    "claimed, unread, old plan": (
        work(UNCONFIRMED, answer=CLAIMED),
        reading(OLD),
        True,
        "REFUSED",
        "ACCEPTED_NOT_APPLIED",
    ),
    "old plan unknown, lost": (work(UNCONFIRMED, old=None), reading(OLD), True, "PENDING", None),
    "old plan unknown, claimed": (work(APPLIED, old=None), reading(OLD), True, "REFUSED", "ACCEPTED_NOT_APPLIED"),
    "both plans, only one moved": (work(APPLIED, comm="Comm New"), reading(NEW), False, None, None),
    "both plans moved": (work(APPLIED, comm="Comm New"), reading(NEW, "Comm New"), False, "APPLIED", None),
    "both plans, one conflicts": (
        work(APPLIED, comm="Comm New"),
        reading(NEW, "Comm Third"),
        True,
        "REFUSED",
        "PLAN_CONFLICT",
    ),
    "an unasked plan may differ": (work(APPLIED), reading(NEW, "Comm Third"), False, "APPLIED", None),
}


@pytest.mark.parametrize(("device", "seen", "settled", "status", "reason"), READINGS.values(), ids=READINGS)
def test_what_follows_from_a_reading(
    device: DeviceWork, seen: DeviceReading, settled: bool, status: str | None, reason: str | None
) -> None:
    step = after_reading(device, seen, settled=settled)
    assert (step.status if step else None, step.reason if step else None) == (status, reason)
    if step:
        assert step.verified == (status == "APPLIED")


def test_only_an_unknown_device_is_refused_by_a_refused_reading() -> None:
    unknown_device = Refused(Answer(404), ReasonCode.CARRIER_DEVICE_UNKNOWN, Scope.DEVICE)
    other = Refused(Answer(400), ReasonCode.CARRIER_REFUSED, Scope.DEVICE)
    for device in (work(UNCONFIRMED), work(APPLIED)):
        refused = after_reading(device, unknown_device, settled=False)
        silent = after_reading(device, other, settled=False)
        assert refused is not None
        assert silent is not None
        assert (refused.status, silent.status) == ("REFUSED", "UNCONFIRMED")


ANSWERS = st.builds(Answer, st.none() | st.sampled_from([200, 202, 400, 404, 429, 500, 503]), st.none() | st.text())
OUTCOMES = st.one_of(
    st.builds(Applied, ANSWERS, st.booleans()),
    st.builds(Refused, ANSWERS, st.sampled_from(ReasonCode), st.sampled_from(Scope)),
    st.builds(Unreachable, ANSWERS, st.sampled_from([UNREACHABLE, LIMITED]), st.booleans()),
    st.builds(Unconfirmed, ANSWERS),
)
PLANS = st.sampled_from([OLD, NEW, THIRD, None])
DEVICES = st.builds(
    work,
    st.sampled_from([UNCONFIRMED, APPLIED]),
    attempts=st.integers(1, MAX_ATTEMPTS),
    comm=st.sampled_from([None, "Comm New"]),
    answer=st.none() | st.sampled_from(LastAnswer),
    old=st.sampled_from([OLD, None]),
)
SEEN = st.one_of(
    st.builds(reading, PLANS, st.sampled_from(["Comm Old", "Comm New", "Comm Third", None])),
    st.builds(Refused, ANSWERS, st.sampled_from(ReasonCode), st.just(Scope.DEVICE)),
)


@given(OUTCOMES, st.integers(1, MAX_ATTEMPTS))
def test_every_call_leads_along_a_legal_transition_and_every_end_has_its_reason(
    outcome: ChangeOutcome, attempts: int
) -> None:
    step = after_call(work(SENDING, attempts=attempts), outcome)
    assert step.status in DEVICE_TRANSITIONS[SENDING]
    assert 0 <= step.attempts <= attempts
    assert step.status != "REFUSED" or step.reason
    if step.status == "PENDING":
        assert isinstance(outcome, Unreachable), "what may have arrived is never simply sent again"


@given(DEVICES, SEEN, st.booleans(), st.booleans())
def test_every_reading_leads_along_a_legal_transition(
    device: DeviceWork, seen: DeviceReading | Refused, settled: bool, away: bool
) -> None:
    step = after_reading(device, seen, settled=settled, away=away)
    if step is None:
        assert not settled
        return
    assert step.status in {*DEVICE_TRANSITIONS[device.status], device.status}
    assert step.status not in {"REFUSED", "UNCONFIRMED"} or step.reason
    if step.verified:
        assert isinstance(seen, DeviceReading)
        assert seen.rate_plan == NEW
    if step.status == "PENDING":
        assert step.attempts < MAX_ATTEMPTS
        assert device.last_answer not in {CLAIMED, ACCEPTED}, "what the carrier took on is never sent beside it"


@pytest.mark.parametrize("attempts", [1, MAX_ATTEMPTS])
@pytest.mark.parametrize(("turned_away", "away"), [(True, False), (False, True)])
def test_a_call_that_a_closed_gate_or_an_outage_met_and_that_was_not_made_was_a_wait(
    attempts: int, turned_away: bool, away: bool
) -> None:
    device = work(UNCONFIRMED, attempts=attempts, answer=TURNED_AWAY if turned_away else None)

    assert after_reading(device, reading(OLD), settled=False, away=away) is None
    step = after_reading(device, reading(OLD), settled=True, away=away)
    over = after_reading(device, reading(OLD), settled=True, away=away, over=True)

    assert step is not None
    assert (step.status, step.attempts) == ("PENDING", attempts - 1)
    assert over is not None
    assert (over.status, over.reason) == ("REFUSED", "ATTEMPTS_EXHAUSTED")


def test_a_claim_that_the_carrier_does_not_keep_is_no_wait_whatever_befell_the_account() -> None:
    step = after_reading(work(APPLIED), reading(OLD), settled=True, away=True)
    assert step is not None
    assert step.reason == "ACCEPTED_NOT_APPLIED"


@pytest.mark.parametrize("status", [SENDING, UNCONFIRMED, APPLIED])
def test_what_cannot_be_learned_now_is_unconfirmed(status: DeviceStatus) -> None:
    step = unknown(work(status), "why")
    assert (step.status, step.reason, step.message, step.entry) == ("UNCONFIRMED", "OUTCOME_UNKNOWN", "why", None)


def test_a_scheduled_change_names_its_day() -> None:
    step = scheduled(replace(work(APPLIED), effective_date=date(2027, 1, 2)))
    assert (step.status, step.reason) == ("UNCONFIRMED", "SCHEDULED")
    assert "2027-01-02" in str(step.message)


def test_a_call_that_did_not_leave_costs_no_attempt() -> None:
    step = withdrawn(work(SENDING, attempts=2))
    assert (step.status, step.attempts, step.entry) == ("PENDING", 1, None)
