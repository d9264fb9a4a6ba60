"""What the catalog shows of bulk changes, inventories, drift and days: counts and tables, never a device by name."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from m2m_pipeline.domain.accounts import ServiceProvider
from m2m_pipeline.storage import accounts, statistics
from m2m_pipeline.storage.database import Database

if TYPE_CHECKING:
    import pandas as pd

POINTS = 120
"""Moments of a progress curve."""

TREND_DAYS = 30


@dataclass(frozen=True, slots=True)
class ChangeDetails:
    """A bulk change in tables: (old plan, new plan, status, devices), (moment, devices ended), (kind, audit entries).

    `start_up_seconds`: from the last attempt's start to the first device that it sent; None where it sent none.
    `calls_per_second` is its account's rate.
    """

    plan_moves: Sequence[tuple[str, str, str, int]]
    progress: Sequence[tuple[datetime, int]]
    audit_kinds: Sequence[tuple[str, int]]
    start_up_seconds: float | None
    calls_per_second: float


@dataclass(frozen=True, slots=True)
class DriftTables:
    """Open drift by cause and plans, and how many devices of each cause differed at the end of each day until today."""

    by_plans: Sequence[tuple[str, str, str, int]]
    trend: "pd.DataFrame"


@dataclass(frozen=True, slots=True)
class Day:
    """What ended on one day (UTC). `changes` has a row a status, `calls` a row a provider with what was allowed."""

    changes: "pd.DataFrame"
    calls: Sequence[tuple[str, str, int, float]]


class Statistics:
    """Reads; writes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def change(self, bulk_change_id: int) -> ChangeDetails:
        """A bulk change in tables."""
        with self._database.begin() as tx:
            return ChangeDetails(
                statistics.plan_moves(tx, bulk_change_id),
                statistics.progress(tx, bulk_change_id, POINTS),
                statistics.audit_kinds(tx, bulk_change_id),
                statistics.start_up(tx, bulk_change_id),
                accounts.provider_of(tx, bulk_change_id).calls_per_second,
            )

    def inventory(self, provider: ServiceProvider) -> Sequence[tuple[str, int]]:
        """AMOP's devices of a provider by rate plan."""
        with self._database.begin() as tx:
            return statistics.inventory_by_plan(tx, provider.id)

    def drift(self, provider: ServiceProvider) -> DriftTables:
        """A provider's drift in tables."""
        import pandas as pd  # noqa: PLC0415 - a second, and only who makes tables pays it

        with self._database.begin() as tx:
            by_plans = statistics.drift_by_plans(tx, provider.id)
            moves = statistics.drift_moves(tx, provider.id, TREND_DAYS)
        table = pd.DataFrame(moves, columns=["day", "cause", "devices"])
        steps = table.pivot_table(index="day", columns="cause", values="devices", aggfunc="sum", fill_value=0)
        if moves:  # the days on which nothing moved, too: what is open is open today
            today = datetime.now(UTC).date()
            steps = steps.reindex(pd.date_range(steps.index[0], max(today, steps.index[-1])).date, fill_value=0)
        return DriftTables(by_plans, steps.cumsum().astype(int))

    def day(self, day: date) -> Day:
        """What ended on a day."""
        import pandas as pd  # noqa: PLC0415 - as above

        begin = datetime.combine(day, time(), UTC)
        with self._database.begin() as tx:
            ended = statistics.ended_between(tx, begin, begin + timedelta(days=1))
            calls = statistics.calls_by_provider(tx, begin, begin + timedelta(days=1))
        table = pd.DataFrame(ended, columns=["status", "devices", "changed", "queued_seconds", "work_seconds"])
        changes = table.groupby("status").agg(
            changes=("devices", "size"),
            devices=("devices", "sum"),
            changed=("changed", "sum"),
            queued_seconds=("queued_seconds", "median"),
            work_seconds=("work_seconds", "median"),
        )
        return Day(changes.reset_index(), calls)
