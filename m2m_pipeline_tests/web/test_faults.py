"""Which kind of problem a rejection is: the client does by it what helps against every reason, not against one."""

import pytest

from m2m_pipeline.domain.problems import Problem
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.web.faults import kind_of
from m2m_pipeline.web.problems import KINDS


@pytest.mark.parametrize(
    ("codes", "kind"),
    [
        (["TOO_MANY_OPEN_CHANGES"], "too-many-open-changes"),
        (["TOO_MANY_OPEN_CHANGES", "RATE_PLAN_UNKNOWN"], "request-rejected"),
        (["FIELD_INVALID", "TOO_MANY_OPEN_CHANGES"], "request-rejected"),
        (["FIELD_INVALID", "FIELD_INVALID"], "invalid-request"),
        (["FIELD_INVALID", "NO_DEVICES"], "request-rejected"),
        (["IDEMPOTENCY_CONFLICT"], "key-of-another-request"),
        (["PROVIDER_UNSUPPORTED", "RATE_PLAN_UNKNOWN", "TOO_MANY_OPEN_CHANGES"], "unsupported-provider"),
        (["ICCID_MALFORMED"], "request-rejected"),
    ],
)
def test_a_rejection_is_of_the_kind_that_all_its_reasons_make(codes: list[str], kind: str) -> None:
    assert kind_of([Problem(ReasonCode(code), "") for code in codes]) == kind


def test_what_has_to_be_corrected_is_never_told_to_be_sent_again() -> None:
    full = ReasonCode.TOO_MANY_OPEN_CHANGES
    kinds = {code: kind_of([Problem(full, ""), Problem(code, "")]) for code in ReasonCode}
    assert [code for code, kind in kinds.items() if KINDS[kind].retry_helps] == [full]
