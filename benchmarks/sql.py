"""Reading the tables of a measurement, beside the application."""

import psycopg


def plain(url: str) -> str:
    """The address without SQLAlchemy's driver."""
    return url.replace("+psycopg2", "").replace("+psycopg", "")


def rows(url: str, statement: str, *parameters: object) -> list[tuple[object, ...]]:
    """The rows of one query; % is written twice in it."""
    with psycopg.connect(plain(url), autocommit=True) as connection:
        return connection.execute(statement.encode(), parameters).fetchall()
