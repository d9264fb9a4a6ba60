"""Rows as tables in Dagster's metadata."""

from collections.abc import Mapping, Sequence

import dagster as dg

MOST_TABLE_ROWS = 100
"""Dagster draws every row of a metadata table."""

Cell = str | int | float | bool | None


def table(columns: Mapping[str, str], rows: Sequence[Sequence[Cell]]) -> dg.TableMetadataValue:
    """The first rows as a table; `columns` are names and Dagster types (`string`, `int`, `float`)."""
    return dg.MetadataValue.table(
        records=[dg.TableRecord(dict(zip(columns, row, strict=True))) for row in rows[:MOST_TABLE_ROWS]],
        schema=dg.TableSchema(columns=[dg.TableColumn(name, kind) for name, kind in columns.items()]),
    )
