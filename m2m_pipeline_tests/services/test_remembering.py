"""What was answered to a device's last change call, and what its plans were before, stays known while it counts."""

from collections.abc import Mapping

import pytest

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
from m2m_pipeline.services.execution.outcomes import after_call, after_reading, unknown, with_old_plans
from m2m_pipeline_tests.services.test_outcomes import (
    ACCEPTED,
    CLAIMED,
    LIMITED,
    NEW,
    OLD,
    SENDING,
    THIRD,
    TURNED_AWAY,
    UNCONFIRMED,
    reading,
    work,
)

ANSWERED: Mapping[str, tuple[ChangeOutcome, LastAnswer | None]] = {
    "done": (Applied(Answer(200)), CLAIMED),
    "accepted": (Applied(Answer(202), pending=True), ACCEPTED),
    "a gate's bare 503": (Unconfirmed(Answer(503)), TURNED_AWAY),
    "a success that names nobody": (Unconfirmed(Answer(202)), None),
    "over the limit": (Unreachable(Answer(429), LIMITED, throttled=True), None),
    "answer lost": (Unconfirmed(Answer()), None),
}


@pytest.mark.parametrize(("outcome", "answer"), ANSWERED.values(), ids=ANSWERED)
def test_what_a_change_was_answered_stays_known_while_its_outcome_is_unknown(
    outcome: ChangeOutcome, answer: LastAnswer | None
) -> None:
    """Else a change would be sent again beside the one that the carrier has made, or still means to make."""
    called = after_call(work(SENDING), outcome)
    device = work(called.status, answer=called.last_answer)
    unread = Refused(Answer(400, "19999999"), ReasonCode.CARRIER_REFUSED, Scope.DEVICE)
    seen = after_reading(device, unread, settled=True)

    assert seen is not None
    assert (called.last_answer, unknown(device, "no answer").last_answer, seen.last_answer) == (answer,) * 3


def test_an_old_plan_that_nobody_knew_is_the_one_that_shows_first() -> None:
    seen = with_old_plans(work(UNCONFIRMED, old=None), reading(OLD))
    still, moved = (after_reading(seen, reading(plan), settled=True) for plan in (OLD, THIRD))

    assert still is not None
    assert moved is not None
    assert (still.status, still.old_rate_plan) == ("PENDING", OLD)
    assert (moved.status, moved.reason) == ("REFUSED", "PLAN_CONFLICT")


@pytest.mark.parametrize("old", [OLD, None])
def test_a_new_plan_that_shows_is_not_taken_for_the_old_one(old: str | None) -> None:
    assert with_old_plans(work(UNCONFIRMED, old=old), reading(NEW)).old_rate_plan == old
