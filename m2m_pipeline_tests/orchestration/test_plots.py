"""A plot is drawn whatever there is to draw: a change of nothing, a first day, more causes than colours."""

from datetime import UTC, date, datetime, timedelta
from itertools import product

import pandas as pd
import pytest

from m2m_pipeline.orchestration.plots import COLORS, change_plot, trend_plot

BEGIN = datetime(2026, 11, 24, tzinfo=UTC)
DAYS = [date(2026, 11, 1) + timedelta(days=day) for day in range(14)]


@pytest.mark.parametrize("points", [0, 1, 2, 60])
@pytest.mark.parametrize("counts", [{}, {"PROCESSED": 1}, {"PROCESSED": 100_000, "REFUSED": 12}])
def test_a_change_of_any_size_has_a_plot(points: int, counts: dict[str, int]) -> None:
    progress = [(BEGIN + timedelta(seconds=3 * point), point) for point in range(points)]

    assert "data:image/svg+xml" in str(change_plot(progress, counts).value)


@pytest.mark.parametrize(("causes", "days"), [(0, 0), *product([1, 2, len(COLORS) + 1], [1, 2, 14])])
def test_the_trend_of_any_number_of_days_and_causes_has_a_plot(causes: int, days: int) -> None:
    trend = pd.DataFrame({f"CAUSE_{cause}": [cause] * days for cause in range(causes)}, index=DAYS[:days])

    assert "data:image/svg+xml" in str(trend_plot(trend).value)
