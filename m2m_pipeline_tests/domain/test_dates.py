"""The effective date: what is one, and how far ahead the carrier takes it."""

from datetime import date, timedelta

import pytest

from m2m_pipeline.domain.dates import effective_date_problem, parse_effective_date

TODAY = date(2026, 11, 24)


@pytest.mark.parametrize(
    "text",
    [
        "2026-12-01",
        "2026-12-01Z",
        "2026-12-01T00:00:00",
        "2026-12-01T00:00:00Z",
        "2026-12-01 08:30",
        "2026-12-01T23:59:59.123456+05:30",
    ],
)
def test_an_iso_date_or_date_time_is_its_day(text: str) -> None:
    assert parse_effective_date(text) == date(2026, 12, 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "01.12.2026",
        "12/01/2026",
        "2026-13-01",
        "2026-02-30",
        "2026-12-1",
        "2026-12-01x",
        "2026-12-01T25:00",
        "2026-12-01T00:00:00+99:00",
        "2026-12-01; DROP",
        "２０２６-12-01",  # noqa: RUF001 -- full-width digits are the point
        "1795494076",
        "0000-00-00",
    ],
)
def test_anything_else_is_no_date(text: str) -> None:
    assert parse_effective_date(text) is None


@pytest.mark.parametrize(
    ("days", "horizon", "code"),
    [
        (-1, 180, "EFFECTIVE_DATE_PAST"),
        (-1, None, "EFFECTIVE_DATE_PAST"),
        (0, 180, None),
        (180, 180, None),
        (181, 180, "EFFECTIVE_DATE_TOO_FAR"),
        (0, None, None),
        (1, None, "EFFECTIVE_DATE_TOO_FAR"),
    ],
)
def test_a_day_must_lie_between_today_and_the_carriers_horizon(
    days: int, horizon: int | None, code: str | None
) -> None:
    problem = effective_date_problem(TODAY + timedelta(days=days), TODAY, horizon)
    assert (problem.code.value if problem else None) == code


def test_a_carrier_that_takes_no_date_is_told_as_such() -> None:
    problem = effective_date_problem(TODAY + timedelta(days=1), TODAY, None)
    assert problem is not None
    assert "takes no date" in problem.message
