"""Signs of life: when a part of the platform last gave one, by its name and the database's clock."""

from collections.abc import Mapping

from sqlalchemy import Connection, text


def beat(connection: Connection, name: str) -> None:
    """Leave a sign of life."""
    connection.execute(
        text(
            """
            INSERT INTO m2m.heartbeat (name) VALUES (:name)
            ON CONFLICT (name) DO UPDATE SET at = clock_timestamp()
            """
        ),
        {"name": name},
    )


def renew(connection: Connection, name: str) -> None:
    """Leave a sign of life where one is expected."""
    connection.execute(text("UPDATE m2m.heartbeat SET at = clock_timestamp() WHERE name = :name"), {"name": name})


def expect(connection: Connection, name: str) -> None:
    """From now on signs of life are expected, unless there was one already."""
    connection.execute(
        text("INSERT INTO m2m.heartbeat (name) VALUES (:name) ON CONFLICT DO NOTHING"),
        {"name": name},
    )


def quiet_seconds(connection: Connection, name: str) -> float | None:
    """Seconds since the last sign of life; None where there never was one."""
    return connection.execute(
        text("SELECT extract(epoch FROM clock_timestamp() - at)::float8 FROM m2m.heartbeat WHERE name = :name"),
        {"name": name},
    ).scalar()


def list_quiet(connection: Connection, prefix: str) -> Mapping[str, float]:
    """Seconds since the last sign of life of whatever has a name that begins so."""
    rows = connection.execute(
        text(
            """
            SELECT name, extract(epoch FROM clock_timestamp() - at)::float8 FROM m2m.heartbeat
            WHERE starts_with(name, :prefix) ORDER BY at
            """
        ),
        {"prefix": prefix},
    )
    return dict(rows.tuples().all())


def forget(connection: Connection, name: str) -> None:
    """It has ended: no sign of life is to be expected."""
    connection.execute(text("DELETE FROM m2m.heartbeat WHERE name = :name"), {"name": name})
