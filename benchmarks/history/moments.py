"""Time, made by SQL: the minutes in which a history was lived become days, and each day gets its scheduled runs.

This is the one place in which anything is written past the services. It happens before the first audit entry is sealed,
so that the chain is made over the final moments. Not touched: what documents and events say inside of themselves.
"""

import psycopg

from benchmarks.sql import plain

_DAY_SECONDS = 86_400
_BUSINESS = """
SELECT table_name, array_agg(column_name::text) FROM information_schema.columns
WHERE table_schema = 'm2m' AND data_type = 'timestamp with time zone' AND table_name <> 'audit_link'
GROUP BY table_name
"""
_DAGSTER = """
UPDATE runs SET create_timestamp = stretched(create_timestamp), update_timestamp = stretched(update_timestamp),
    start_time = extract(epoch FROM stretched(to_timestamp(start_time) AT TIME ZONE 'UTC')),
    end_time = extract(epoch FROM stretched(to_timestamp(end_time) AT TIME ZONE 'UTC'));
UPDATE event_logs SET timestamp = stretched(timestamp);
UPDATE asset_event_tags SET event_timestamp = stretched(event_timestamp);
UPDATE asset_check_executions SET create_timestamp = stretched(create_timestamp),
    evaluation_event_timestamp = stretched(evaluation_event_timestamp);
"""
_COPY = """
CREATE TEMPORARY TABLE twin AS
SELECT r.run_id, gen_random_uuid()::text AS new_id, moment, moment - r.create_timestamp AS earlier
FROM runs r, generate_series((now() AT TIME ZONE 'UTC') - make_interval(days => %(days)s),
    (now() AT TIME ZONE 'UTC') - %(every)s::interval, %(every)s::interval) AS moment
WHERE r.run_id = ANY(%(runs)s)
"""
_COPY_ROWS = """
INSERT INTO runs (run_id, snapshot_id, pipeline_name, mode, status, run_body, partition, partition_set,
    create_timestamp, update_timestamp, start_time, end_time)
SELECT t.new_id, r.snapshot_id, r.pipeline_name, r.mode, r.status, replace(r.run_body, t.run_id, t.new_id), r.partition,
    r.partition_set, t.moment, r.update_timestamp + t.earlier, r.start_time + extract(epoch FROM t.earlier),
    r.end_time + extract(epoch FROM t.earlier)
FROM twin t JOIN runs r USING (run_id) ORDER BY t.moment;
INSERT INTO run_tags (run_id, key, value)
SELECT t.new_id, g.key, g.value FROM twin t JOIN run_tags g USING (run_id);
INSERT INTO event_logs (run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition)
SELECT t.new_id, replace(e.event, t.run_id, t.new_id), e.dagster_event_type, e.timestamp + t.earlier, e.step_key,
    e.asset_key, e.partition
FROM twin t JOIN event_logs e USING (run_id) ORDER BY t.moment, e.id;
"""


def stretch(business_url: str, dagster_url: str, began: float, days: int) -> None:
    """Stretch all moments since `began` (seconds since the epoch) evenly over so many days that end now."""
    with psycopg.connect(plain(business_url)) as connection:
        _define(connection, began, days, "timestamptz")
        # Who owns the tables may: the audit log's own trigger refuses it to everybody else.
        connection.execute("ALTER TABLE m2m.audit_entry DISABLE TRIGGER append_only")
        for table, columns in connection.execute(_BUSINESS).fetchall():
            assignments = ", ".join(f"{one} = pg_temp.stretched({one})" for one in columns)
            connection.execute(f"UPDATE m2m.{table} SET {assignments}".encode())
        connection.execute("ALTER TABLE m2m.audit_entry ENABLE TRIGGER append_only")
    with psycopg.connect(plain(dagster_url)) as connection:
        _define(connection, began, days, "timestamp")
        connection.execute(_DAGSTER.replace("stretched(", "pg_temp.stretched(").encode())


def repeat(dagster_url: str, run_ids: list[str], days: int, every: str) -> int:
    """Copy these runs with their events into so many days, one `every` interval; how many copies."""
    with psycopg.connect(plain(dagster_url)) as connection:
        copies = connection.execute(_COPY, {"days": days, "every": every, "runs": run_ids}).rowcount
        connection.execute(_COPY_ROWS)
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE")  # as autovacuum would have in two weeks
    return copies


def _define(connection: psycopg.Connection, began: float, days: int, kind: str) -> None:
    """The function of one transaction; moments of type `timestamp` are UTC."""
    now = "now()" if kind == "timestamptz" else "(now() AT TIME ZONE 'UTC')"
    factor = f"({days * _DAY_SECONDS} / (extract(epoch FROM now()) - {began}))::float8"
    # What a pass was told to go back to may be long before: it stays.
    then = f"CASE WHEN extract(epoch FROM moment) < {began} THEN moment ELSE {now} - ({now} - moment) * {factor} END"
    connection.execute(
        f"CREATE FUNCTION pg_temp.stretched(moment {kind}) RETURNS {kind} LANGUAGE sql AS $$ SELECT {then} $$".encode()
    )
