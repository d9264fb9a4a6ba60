"""The day from which a change holds."""

from datetime import date, datetime, timedelta

from m2m_pipeline.domain.problems import Problem, shown
from m2m_pipeline.domain.reasons import ReasonCode


def parse_effective_date(text: str) -> date | None:
    """The day in an ISO 8601 date or date-time, or None where it is neither."""
    day = text[:10]
    try:
        parsed = date.fromisoformat(day)
        datetime.fromisoformat(text.removesuffix("Z") if len(text) == len(day) + 1 else text)
    except ValueError:
        return None
    return parsed


def effective_date_problem(day: date, today: date, horizon_days: int | None) -> Problem | None:
    """What is wrong with `day` as an effective date, seen from `today` (UTC), or None.

    `horizon_days` is how far ahead the carrier takes a date; None where it takes none at all.
    """
    if day < today:
        message = f"The effective date {day} is past (today is {today}, UTC)."
        return Problem(ReasonCode.EFFECTIVE_DATE_PAST, message, "effective_date", shown(day))
    if day > today + timedelta(days=horizon_days or 0):
        limit = f"at most {horizon_days} days ahead" if horizon_days else "today only: this carrier takes no date"
        message = f"The effective date {day} is too far ahead ({limit})."
        return Problem(ReasonCode.EFFECTIVE_DATE_TOO_FAR, message, "effective_date", shown(day))
    return None
