"""Which end of each bulk change the catalog shows: known by its moment, since a change may end more than once."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from m2m_pipeline.domain.status import ENDED_BULK_CHANGES

UNSHOWN = "shown_end IS DISTINCT FROM coalesce(settled_at, finished_at)"
"""Condition on a bulk change: the catalog does not show its end, or shows an earlier one."""


def note(connection: Connection, bulk_change_id: int, end: datetime) -> None:
    """The catalog shows the end of that moment; a later one that it shows already stays."""
    connection.execute(
        text("UPDATE m2m.bulk_change SET shown_end = greatest(shown_end, :end) WHERE id = :id"),
        {"id": bulk_change_id, "end": end},
    )


def list_unshown(connection: Connection, seconds: float, most: int) -> Sequence[int]:
    """The first bulk changes, by id, that ended longer ago without being shown."""
    return (
        connection.execute(
            text(
                f"""
                SELECT id FROM m2m.bulk_change WHERE {UNSHOWN} AND status = ANY(:ended)
                    AND coalesce(settled_at, finished_at) < clock_timestamp() - make_interval(secs => :seconds)
                ORDER BY id LIMIT :most
                """
            ),
            {"ended": sorted(ENDED_BULK_CHANGES), "seconds": seconds, "most": most},
        )
        .scalars()
        .all()
    )
