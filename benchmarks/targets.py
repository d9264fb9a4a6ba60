"""What must be reached: the one table that the scenarios, the report and docs/performance.md read."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Figure(StrEnum):
    """The figures that have a target, by the name that the report shows."""

    BUDGET_SHARE = "share of the allowed calls used"
    OVER_THE_LIMIT = "calls over the limit in the worst second"
    OVER_IN_FLIGHT = "calls in flight over the cap"
    SLOWEST_OF_FOUR = "slowest of four equal runs, of its fair share"
    SMALL_BESIDE_BIG = "10 devices beside a big change, to alone at half the budget"
    AGAINST_SCRIPT = "devices/s to those of a hand-written script"
    DEVICES_PER_SECOND = "devices/s of the whole job"
    OWN_CPU = "own CPU a device"
    WAL_FSYNCS = "WAL fsyncs a device"
    CALLS_A_DEVICE = "calls a device, verified"
    AGAINST_MAPPED_STEPS = "devices/s to those of mapped steps"
    AGAINST_PROCRASTINATE = "devices/s to those of procrastinate"
    AGAINST_DBOS = "devices/s to those of dbos"
    TIME_DRIFT = "time a device, off that of the smallest run"
    PEAK_RSS = "peak RSS of the run worker"
    RSS_GROWTH = "peak RSS above that of the smallest run"
    EVENT_ROWS = "Dagster event rows for each further batch"
    DRIFT_FOUND = "planted drift found, each by its cause"
    DRIFT_FALSE = "differences found where there is no drift"
    DRIFT_CALLS = "calls of a pass beyond one a page and one a difference"
    DRIFT_RSS_GROWTH = "peak RSS of a pass above that of the smallest"
    CATALOG_PAGE = "a page of the catalog opens, slowest look"
    EVIDENCE_PURGED = "rows that an audit needs, gone by the purge"
    PURGED_UNTOLD = "purged rows and runs that are not on record"
    AUDIT_PROVEN = "share of audit entries that `m2m audit verify` proves"
    REACTION = "queued until the first carrier call, median"
    CSV = "a CSV until it is recorded and answered"
    PULSE = "/healthz meanwhile, at worst"
    LOOK = "answer to a look, p95"
    CROWD_ERRORS = "errors of 50 clients at once"


class Bound(StrEnum):
    """Which side of the limit is good."""

    AT_LEAST = "≥"
    AT_MOST = "≤"
    BELOW = "<"


_HOLDS: Mapping[Bound, Callable[[float, float], bool]] = {
    Bound.AT_LEAST: operator.ge,
    Bound.AT_MOST: operator.le,
    Bound.BELOW: operator.lt,
}


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the table; `unit` is "" for a ratio or a count."""

    scenario: str
    figure: Figure
    bound: Bound
    limit: float
    unit: str = ""

    def reached(self, value: float) -> bool:
        """Whether a value is on the good side."""
        return _HOLDS[self.bound](value, self.limit)

    def __str__(self) -> str:
        return f"{self.bound} {self.limit:g} {self.unit}".rstrip()


TARGETS = (
    Target("budget", Figure.BUDGET_SHARE, Bound.AT_LEAST, 0.95),
    Target("budget", Figure.OVER_THE_LIMIT, Bound.AT_MOST, 0),
    Target("budget", Figure.OVER_IN_FLIGHT, Bound.AT_MOST, 0),
    Target("budget", Figure.SLOWEST_OF_FOUR, Bound.AT_LEAST, 0.80),
    Target("fairness", Figure.SMALL_BESIDE_BIG, Bound.AT_MOST, 2.0),
    Target("unthrottled", Figure.AGAINST_SCRIPT, Bound.AT_LEAST, 0.7),
    Target("unthrottled", Figure.DEVICES_PER_SECOND, Bound.AT_LEAST, 500, "1/s"),
    Target("unthrottled", Figure.OWN_CPU, Bound.AT_MOST, 2.0, "ms"),
    Target("unthrottled", Figure.WAL_FSYNCS, Bound.AT_MOST, 0.1),
    Target("unthrottled", Figure.CALLS_A_DEVICE, Bound.AT_MOST, 1.05),
    Target("peers", Figure.AGAINST_MAPPED_STEPS, Bound.AT_LEAST, 100),
    Target("peers", Figure.AGAINST_PROCRASTINATE, Bound.AT_LEAST, 2.5),
    Target("peers", Figure.AGAINST_DBOS, Bound.AT_LEAST, 15),
    Target("growth", Figure.TIME_DRIFT, Bound.AT_MOST, 0.15),
    Target("growth", Figure.PEAK_RSS, Bound.BELOW, 400, "MB"),
    Target("growth", Figure.RSS_GROWTH, Bound.AT_MOST, 60, "MB"),
    Target("growth", Figure.EVENT_ROWS, Bound.AT_MOST, 40),
    Target("drift", Figure.DRIFT_FOUND, Bound.AT_LEAST, 1.0),
    Target("drift", Figure.DRIFT_FALSE, Bound.AT_MOST, 0),
    # The sign-in, the search for the last page, and the list of what was modified meanwhile.
    Target("drift", Figure.DRIFT_CALLS, Bound.AT_MOST, 8),
    # What the allocator keeps and the driver buffers; a list of 100,000 devices in Python would be more.
    Target("drift", Figure.DRIFT_RSS_GROWTH, Bound.AT_MOST, 30, "MB"),
    Target("history", Figure.CATALOG_PAGE, Bound.BELOW, 2.0, "s"),
    Target("history", Figure.EVIDENCE_PURGED, Bound.AT_MOST, 0),
    Target("history", Figure.PURGED_UNTOLD, Bound.AT_MOST, 0),
    Target("history", Figure.AUDIT_PROVEN, Bound.AT_LEAST, 1.0),
    Target("reaction", Figure.REACTION, Bound.AT_MOST, 7.0, "s"),
    Target("front_door", Figure.CSV, Bound.AT_MOST, 5.0, "s"),
    Target("front_door", Figure.PULSE, Bound.AT_MOST, 500, "ms"),
    Target("front_door", Figure.LOOK, Bound.BELOW, 100, "ms"),
    Target("front_door", Figure.CROWD_ERRORS, Bound.AT_MOST, 0),
)

TARGET_OF: Mapping[str, Target] = {target.figure: target for target in TARGETS}
