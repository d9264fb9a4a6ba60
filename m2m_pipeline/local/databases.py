"""The two databases of a local installation: ours and Dagster's."""

import os
from dataclasses import dataclass

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from m2m_pipeline.local.errors import LocalServiceError
from m2m_pipeline.local.postgres import EmbeddedPostgres


@dataclass(frozen=True, slots=True)
class Databases:
    """SQLAlchemy addresses: `business` for psycopg 3, `dagster` for psycopg2."""

    business: str
    dagster: str


def embedded_databases(server: EmbeddedPostgres) -> Databases:
    """Create in the running embedded server what is missing of the two, and return them."""
    for name in ("m2m", "dagster"):
        if not server.has_database(name):
            server.create_database(name)
    return Databases(business=server.url("m2m"), dagster=server.dagster_url("dagster"))


def external_databases(business_url: str) -> Databases:
    """Return the operator's own: M2M_DAGSTER_DATABASE_URL, or a database `…_dagster` created beside the given one.

    Raises LocalServiceError when the server does not answer, or does not let us create it.
    """
    business = make_url(business_url).set(drivername="postgresql+psycopg")
    given = os.environ.get("M2M_DAGSTER_DATABASE_URL")
    # Not in the same database: both keep the state of their migrations in a table of the same name.
    dagster = make_url(given) if given else business.set(database=f"{business.database}_dagster")
    address = business.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        with psycopg.connect(address, autocommit=True, connect_timeout=10) as connection:
            query = "SELECT 1 FROM pg_database WHERE datname = %s"
            if not given and connection.execute(query, (dagster.database,)).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(dagster.database or "")))
    except psycopg.OperationalError as error:
        raise LocalServiceError(
            f"M2M_DATABASE_URL {business.render_as_string()}: no connection: {str(error).strip()}: start that server, "
            "correct the address, or unset it for an embedded server"
        ) from error
    except psycopg.Error as error:
        raise LocalServiceError(
            f"M2M_DATABASE_URL {business.render_as_string()}: cannot create {dagster.database} for Dagster there: "
            f"{str(error).strip()}: create it, and set M2M_DAGSTER_DATABASE_URL to it"
        ) from error
    return Databases(
        business=business.render_as_string(hide_password=False),
        dagster=dagster.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False),
    )
