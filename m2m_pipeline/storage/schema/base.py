"""What all tables share."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, Double, ForeignKeyConstraint, MetaData, Text, text
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase

SCHEMA = "m2m"
NOW = text("clock_timestamp()")


def one_of(column: str, values: Iterable[StrEnum]) -> str:
    """`column IN ('A', 'B')` for a constraint or a partial index."""
    return f"{column} IN ({', '.join(repr(value.value) for value in sorted(values))})"


def within_tenant(column: str, table: str) -> ForeignKeyConstraint:
    """A foreign key that also holds the tenant: no row ever points at another tenant's."""
    return ForeignKeyConstraint([column, "tenant_id"], [f"{SCHEMA}.{table}.id", f"{SCHEMA}.{table}.tenant_id"])


class Base(DeclarativeBase):
    """Named constraints, so that migrations can name them too."""

    metadata = MetaData(
        schema=SCHEMA,
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        },
    )
    type_annotation_map = {  # noqa: RUF012 -- SQLAlchemy's own declaration style
        str: Text,
        int: BigInteger,
        float: Double,
        datetime: TIMESTAMP(timezone=True),
        dict[str, object]: JSONB,
    }
