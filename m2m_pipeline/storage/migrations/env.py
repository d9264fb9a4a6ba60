"""Alembic's entry: own schema, own version table, one migrator at a time."""

from alembic import context
from sqlalchemy import create_engine, pool, text

from m2m_pipeline.storage.schema import SCHEMA, Base

MIGRATION_LOCK = 1_948_201  # any constant; the number only has to be ours


def ours(name: str | None, kind: str, _parents: object) -> bool:
    """Keep autogenerate away from other schemas: on a shared database it would propose to drop Dagster's tables."""
    return kind != "schema" or name == SCHEMA


# A user called m2m has the schema m2m as its default, and alembic would take it for one without a name.
engine = create_engine(
    context.config.attributes["url"], poolclass=pool.NullPool, connect_args={"options": "-c search_path=public"}
)
with engine.begin() as connection:
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        version_table="m2m_alembic_version",
        version_table_schema=SCHEMA,
        include_schemas=True,
        include_name=ours,
    )
    with context.begin_transaction():
        context.run_migrations()
