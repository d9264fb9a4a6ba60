"""The queue, as the dispatch sensor sees it: read, never written."""

from collections.abc import Sequence

from m2m_pipeline.domain.change import QueuedBulkChange
from m2m_pipeline.storage import bulk_changes, overlaps
from m2m_pipeline.storage.database import Database

HEAD_SIZE = 25
"""Bulk changes looked at in a tick: Dagster stores every run request with the tick."""


class Queue:
    """Bulk changes that wait for a run."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def head(self) -> Sequence[QueuedBulkChange]:
        """The next bulk changes to start, the most urgent first."""
        with self._database.begin() as tx:
            return bulk_changes.list_queued(tx, HEAD_SIZE)

    def waits_for(self, bulk_change_id: int) -> int | None:
        """The earlier bulk change whose end this one waits for, if any: they share devices."""
        with self._database.begin() as tx:
            return overlaps.waits_for(tx, bulk_change_id)
