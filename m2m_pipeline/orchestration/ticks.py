"""Ticks of sensors and schedules that are past their time: what Dagster itself leaves of them."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.storage.schedules.schema import JobTickTable
from dagster._core.storage.schedules.sql_schedule_storage import SqlScheduleStorage
from sqlalchemy import ColumnElement, and_, func, select

_KINDS = (InstigatorType.SENSOR, InstigatorType.SCHEDULE)


def purge_ticks(instance: dg.DagsterInstance, note: Callable[[int, datetime], None]) -> int:
    """Remove ticks that are older than `retention` in dagster.yaml keeps those of their kind and end; how many.

    At each tick Dagster removes the old ones of the same sensor or schedule: those of one that was switched off, or
    that the code does not have any more, would stay for ever.
    `note` is told, just before some of them go, how many and from before when.
    """
    storage = instance.schedule_storage
    if storage is None:  # of an instance in memory, which has no daemon
        return 0
    assert isinstance(storage, SqlScheduleStorage)
    removed = 0
    for before, going in _expired(instance):
        with storage.connect() as connection:
            if count := connection.execute(select(func.count()).select_from(JobTickTable).where(going)).scalar_one():
                note(count, before)
                connection.execute(JobTickTable.delete().where(going))
                removed += count
    return removed


def _expired(instance: dg.DagsterInstance) -> Iterator[tuple[datetime, ColumnElement[bool]]]:
    """Of each kind and end for which a time is set: when it began, and which ticks are from before."""
    tick = JobTickTable.c
    for kind in _KINDS:
        for status, days in instance.get_tick_retention_settings(kind).items():
            if days > 0:
                before = datetime.now(UTC) - timedelta(days=days)
                is_old = tick.timestamp < before.replace(tzinfo=None)
                yield before, and_(tick.type == kind.value, tick.status == status.value, is_old)
