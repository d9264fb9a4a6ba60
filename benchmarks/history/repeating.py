"""The process that repeats what the daemon has done once: each tick and each scheduled run, as often as it is due.

The rows are those of a real tick or run with another moment, made by SQL; what a run's events say of times is not
touched.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import takewhile

import dagster as dg
import psycopg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickStatus
from dagster._utils.schedules import cron_string_iterator

from benchmarks.history.company import Often
from benchmarks.protocol import Worker
from benchmarks.sql import plain
from m2m_pipeline.definitions import defs

LOOK_SECONDS = 5
"""How often Dagster looks which sensors are due."""


_TABLES = """
CREATE TEMPORARY TABLE twin (tick_id bigint, run_id text, new_id text, moment timestamp, later interval, day text,
    new_day text);
CREATE TEMPORARY TABLE tick_twin (tick_id bigint, moment timestamp)
"""
_REAL_TICK = """
SELECT id, ARRAY(SELECT jsonb_array_elements_text(tick_body::jsonb -> 'run_ids')) FROM job_ticks
WHERE tick_body::jsonb ->> 'job_name' = %s AND status = %s ORDER BY id DESC LIMIT 1
"""
# A day that is summed up is another one at each moment.
_TWIN_RUNS = """
INSERT INTO twin
SELECT %(tick)s, r.run_id, gen_random_uuid()::text, moment, moment - r.create_timestamp,
    coalesce((SELECT value FROM run_tags g WHERE g.run_id = r.run_id AND key = 'dagster/partition'
        AND value ~ '^\\d{4}-\\d\\d-\\d\\d$'), ''),
    to_char(moment - interval '1 day', 'YYYY-MM-DD')
FROM runs r, unnest(%(moments)s::timestamp[]) AS moment WHERE r.run_id = ANY(%(runs)s)
"""
_TWIN_TICKS = "INSERT INTO tick_twin SELECT %(tick)s, unnest(%(moments)s::timestamp[])"
_COPY = """
INSERT INTO runs (run_id, snapshot_id, pipeline_name, mode, status, run_body, partition, partition_set,
    create_timestamp, update_timestamp, start_time, end_time)
SELECT t.new_id, r.snapshot_id, r.pipeline_name, r.mode, r.status,
    replace(replace(r.run_body, t.run_id, t.new_id), t.day, t.new_day), replace(r.partition, t.day, t.new_day),
    r.partition_set, t.moment, r.update_timestamp + t.later, r.start_time + extract(epoch FROM t.later),
    r.end_time + extract(epoch FROM t.later)
FROM twin t JOIN runs r USING (run_id) ORDER BY t.moment;
INSERT INTO run_tags (run_id, key, value)
SELECT t.new_id, g.key, replace(g.value, t.day, t.new_day) FROM twin t JOIN run_tags g USING (run_id);
CREATE TEMPORARY TABLE twin_event AS
SELECT nextval(pg_get_serial_sequence('event_logs', 'id')) AS id, ordered.* FROM (
    SELECT e.id AS old_id, t.* FROM twin t JOIN event_logs e USING (run_id) ORDER BY t.moment, e.id) ordered;
INSERT INTO event_logs (id, run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition)
SELECT t.id, t.new_id, replace(replace(e.event, t.run_id, t.new_id), t.day, t.new_day), e.dagster_event_type,
    e.timestamp + t.later, e.step_key, e.asset_key, replace(e.partition, t.day, t.new_day)
FROM twin_event t JOIN event_logs e ON e.id = t.old_id ORDER BY t.id;
INSERT INTO asset_event_tags (event_id, asset_key, key, value, event_timestamp)
SELECT t.id, g.asset_key, g.key, replace(g.value, t.day, t.new_day), g.event_timestamp + t.later
FROM twin_event t JOIN asset_event_tags g ON g.event_id = t.old_id ORDER BY t.id;
INSERT INTO asset_check_executions (asset_key, check_name, partition, run_id, execution_status, evaluation_event,
    evaluation_event_timestamp, evaluation_event_storage_id, materialization_event_storage_id, create_timestamp)
SELECT c.asset_key, c.check_name, c.partition, t.new_id, c.execution_status,
    replace(c.evaluation_event, t.run_id, t.new_id), c.evaluation_event_timestamp + t.later, e.id,
    c.materialization_event_storage_id, c.create_timestamp + t.later
FROM twin t JOIN asset_check_executions c USING (run_id)
LEFT JOIN twin_event e ON e.new_id = t.new_id AND e.old_id = c.evaluation_event_storage_id ORDER BY t.moment, c.id;
INSERT INTO job_ticks (job_origin_id, selector_id, status, type, timestamp, tick_body, create_timestamp,
    update_timestamp)
SELECT k.job_origin_id, k.selector_id, k.status, k.type, t.moment, (k.body
        || jsonb_build_object('timestamp', began, 'end_timestamp',
            began + (k.body ->> 'end_timestamp')::numeric - (k.body ->> 'timestamp')::numeric)
        || CASE WHEN new_ids IS NULL THEN '{}' ELSE jsonb_build_object('run_ids', new_ids) END
    )::text, t.moment, t.moment
FROM tick_twin t JOIN (SELECT *, tick_body::jsonb AS body FROM job_ticks) k ON k.id = t.tick_id
CROSS JOIN LATERAL (SELECT extract(epoch FROM t.moment) AS began) seconds
LEFT JOIN (SELECT tick_id, moment, jsonb_agg(new_id) AS new_ids FROM twin GROUP BY tick_id, moment) asked
    USING (tick_id, moment)
ORDER BY t.moment
"""


def prepare(_: str) -> Worker:
    """Everything is imported. The order is an Often in JSON; told is how many `runs` and `ticks` were made."""
    instance = dg.DagsterInstance.get()

    def work(order: str) -> Mapping[str, str]:
        often = Often.model_validate_json(order)
        with psycopg.connect(plain(os.environ["M2M_DAGSTER_DATABASE_URL"])) as connection:
            connection.execute(_TABLES)
            _plan_schedules(connection, often)
            _plan_sensors(connection, often, _days_of_skipped(instance, often.days))
            connection.execute(_COPY.encode())
            ((runs, ticks),) = connection.execute(
                "SELECT (SELECT count(*) FROM twin), (SELECT count(*) FROM tick_twin)"
            ).fetchall()
            connection.commit()
            connection.autocommit = True
            connection.execute("VACUUM ANALYZE")  # as autovacuum would have in two weeks
        return {"runs": str(runs), "ticks": str(ticks)}

    return work


def _plan_schedules(connection: psycopg.Connection, often: Often) -> None:
    now = datetime.now(UTC)
    for name, cron in _schedules():
        tick, runs = _real_tick(connection, name, TickStatus.SUCCESS)
        every = cron_string_iterator((now - timedelta(days=often.days)).timestamp(), cron, "UTC")
        moments = [*takewhile(lambda moment: moment < now, every)][:: often.share]
        _plan(connection, tick, moments)
        connection.execute(_TWIN_RUNS, {"tick": tick, "runs": runs, "moments": _naive(moments)})


def _plan_sensors(connection: psycopg.Connection, often: Often, days_of_skipped: int) -> None:
    """The ticks that found nothing, as long as they are kept; those that found a change, one for each."""
    for name, seconds in _sensors():
        tick, _ = _real_tick(connection, name, TickStatus.SKIPPED)
        _plan(connection, tick, _spread(days_of_skipped, days_of_skipped * 86_400 // seconds // often.share))
    tick, _ = _real_tick(connection, "dispatch_bulk_changes", TickStatus.SUCCESS)
    _plan(connection, tick, _spread(often.days, often.asked))


def _plan(connection: psycopg.Connection, tick: int, moments: Sequence[datetime]) -> None:
    connection.execute(_TWIN_TICKS, {"tick": tick, "moments": _naive(moments)})


def _real_tick(connection: psycopg.Connection, name: str, status: TickStatus) -> tuple[int, list[str]]:
    found = connection.execute(_REAL_TICK, [name, status.value]).fetchone()
    if found is None:
        raise LookupError(f"{name} has no tick that ended as {status.value}")
    return found


def _schedules() -> Iterator[tuple[str, str]]:
    """The schedules, each with its cron, as shipped."""
    for one in defs.schedules or ():
        assert isinstance(one, dg.ScheduleDefinition)
        yield one.name, str(one.cron_schedule)


def _sensors() -> Iterator[tuple[str, int]]:
    """The sensors, each with the seconds between two of its ticks."""
    for one in defs.sensors or ():
        yield one.name, -(-(one.minimum_interval_seconds or 1) // LOOK_SECONDS) * LOOK_SECONDS


def _days_of_skipped(instance: dg.DagsterInstance, days: int) -> int:
    """What Dagster keeps, and one day more, so that the purge has something to remove."""
    kept = instance.get_tick_retention_settings(InstigatorType.SENSOR)[TickStatus.SKIPPED]
    return min(days, kept + 1) if kept > 0 else days


def _spread(days: int, count: int) -> list[datetime]:
    """So many moments, evenly over the days that end now."""
    now, apart = datetime.now(UTC), timedelta(days=days) / count
    return [now - apart * number for number in range(count, 0, -1)]


def _naive(moments: Sequence[datetime]) -> list[datetime]:
    """As Dagster's tables have them: UTC."""
    return [one.replace(tzinfo=None) for one in moments]
