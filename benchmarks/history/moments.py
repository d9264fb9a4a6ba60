"""Time, made by SQL: the minutes in which a history was lived become days.

This is the one place in which our tables are written past the services. It happens before the first audit entry is
sealed, so that the chain is made over the final moments. Not touched: what documents and events say inside of
themselves.
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


def _define(connection: psycopg.Connection, began: float, days: int, kind: str) -> None:
    """The function of one transaction; moments of type `timestamp` are UTC."""
    now = "now()" if kind == "timestamptz" else "(now() AT TIME ZONE 'UTC')"
    factor = f"({days * _DAY_SECONDS} / (extract(epoch FROM now()) - {began}))::float8"
    # What a pass was told to go back to may be long before: it stays.
    then = f"CASE WHEN extract(epoch FROM moment) < {began} THEN moment ELSE {now} - ({now} - moment) * {factor} END"
    connection.execute(
        f"CREATE FUNCTION pg_temp.stretched(moment {kind}) RETURNS {kind} LANGUAGE sql AS $$ SELECT {then} $$".encode()
    )
