"""Dagster's event log: how the worker of a run writes it, and what Dagster itself never removes from it."""

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from functools import cache

import dagster as dg
import psycopg2
import psycopg2.extensions
from dagster._core.instance.utils import RUNLESS_RUN_ID
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, DynamicPartitionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from sqlalchemy import and_, event, exists, func, or_, select
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import Pool

NO_LIMIT = 0
NEVER = -1
FOR_THREADS = 4


def keep_connection(instance: dg.DagsterInstance) -> None:
    """Have this process keep its connection to Dagster's event log instead of opening one for every event.

    A new connection cost 16 ms on a busy machine (measured), a statement 0.1 ms, and a run stores some forty events and
    nearly as many more for each further batch. Dagster offers this to its webserver only, and without a look at whether
    the connection still lives: a run may outlive the server's restart between two events.
    """
    instance.event_log_storage.optimize_for_webserver(NO_LIMIT, NEVER, FOR_THREADS)
    _look_at_connections()


@cache
def _look_at_connections() -> None:
    event.listen(Pool, "checkout", _replace_if_broken)


def _replace_if_broken(connection: object, *_: object) -> None:
    """Have the pool open another connection in place of one that its server has ended."""
    if not isinstance(connection, psycopg2.extensions.connection):
        return  # ours: its own engine looks
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except psycopg2.Error as error:
        raise DisconnectionError from error


def make_room_for_checks(instance: dg.DagsterInstance, partitions: Collection[str]) -> None:
    """Remove what checks of these partitions came to outside of runs: Dagster has room for one of each and partition.

    A second one breaks the rule of a table, and with it the tick that tells it.
    """
    log = instance.event_log_storage
    assert isinstance(log, SqlEventLogStorage)
    told = AssetCheckExecutionsTable.c
    with log.index_connection() as connection:
        connection.execute(
            AssetCheckExecutionsTable.delete().where(told.run_id == RUNLESS_RUN_ID, told.partition.in_(partitions))
        )


def purge_checks(instance: dg.DagsterInstance, before: datetime, note: Callable[[int], None]) -> int:
    """Remove what checks came to before a moment, which Dagster keeps when it deletes their runs; how many.

    `note` is told how many just before they go.
    Kept is what the catalog shows: the latest of each check, and of each partition that is still there.
    """
    log = instance.event_log_storage
    assert isinstance(log, SqlEventLogStorage)
    told, later = AssetCheckExecutionsTable, AssetCheckExecutionsTable.alias()
    newer = later.c.id > told.c.id, later.c.asset_key == told.c.asset_key, later.c.check_name == told.c.check_name
    is_followed = exists().where(*newer)
    is_followed_there = exists().where(*newer, later.c.partition.is_not_distinct_from(told.c.partition))
    is_gone = and_(
        told.c.partition.is_not(None), ~exists().where(DynamicPartitionsTable.c.partition == told.c.partition)
    )
    old = told.c.create_timestamp < before.astimezone(UTC).replace(tzinfo=None)
    going = and_(old, is_followed, or_(is_gone, is_followed_there))
    with log.index_connection() as connection:
        if count := connection.execute(select(func.count()).select_from(told).where(going)).scalar_one():
            note(count)
            connection.execute(told.delete().where(going))
    return count
