"""What would happen, as the page counts and lists it before anything is recorded."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from m2m_pipeline.domain.problems import Problem
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.services.examination import Fate, Findings


@dataclass(frozen=True, slots=True)
class Preview:
    """In rows of the request."""

    total: int
    to_change: int  # would be moved to the plan, were the faulty rows left out
    waiting: int  # of these: once an earlier bulk change has ended for them
    on_plan: int  # need no call
    request_problems: Sequence[Problem]  # with one of these nothing can go
    row_problems: Sequence[Problem]  # these can be left out
    by_reason: Mapping[ReasonCode, int]  # faulty rows, the most frequent reason first

    @property
    def can_go(self) -> bool:
        """Whether anything would be left to record without the faulty rows."""
        return not self.request_problems and self.to_change + self.on_plan > 0


def preview(total: int, found: Findings) -> Preview:
    """The findings about a request of `total` rows."""
    fates = found.counts
    rows = [problem for problem in found.problems if problem.row is not None]
    return Preview(
        total=total,
        to_change=fates[Fate.CHANGE] + fates[Fate.WAIT],
        waiting=fates[Fate.WAIT],
        on_plan=sum(one.reason is ReasonCode.ALREADY_ON_PLAN for one in found.forecasts),
        request_problems=[problem for problem in found.problems if problem.row is None],
        row_problems=rows,
        by_reason=dict(Counter(problem.code for problem in rows).most_common()),
    )
