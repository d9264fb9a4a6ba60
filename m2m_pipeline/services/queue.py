"""The queue, as the dispatch sensor sees it: read, never written."""

from collections.abc import Sequence

from m2m_pipeline.domain.change import QueuedBulkChange
from m2m_pipeline.storage import overlaps, queue
from m2m_pipeline.storage.database import Database

HEAD_OF_ACCOUNT = 5
"""Bulk changes of one carrier account in the head: one more than `dagster.yaml` lets run at once, so that the next is
there when one ends. The rest of the account's queue could not start, and must not stand before other accounts."""

HEAD_SIZE = 100
"""Bulk changes in the head: Dagster looks each one up, and stores it, at every tick. Enough that no slot is free for
want of one: the slots are taken before the accounts at their limit, with five changes each, could fill the head."""


class Queue:
    """Bulk changes that wait for a run."""

    def __init__(self, database: Database, pause_seconds: float) -> None:
        """`pause_seconds`: the rest after two attempts without progress, as `storage.queue` has it."""
        self._database = database
        self._pause_seconds = pause_seconds

    def head(self) -> Sequence[QueuedBulkChange]:
        """The next bulk changes to start, each account's most urgent first."""
        with self._database.begin() as tx:
            return queue.read_head(tx, HEAD_OF_ACCOUNT, HEAD_SIZE, self._pause_seconds)

    def rests_for(self, bulk_change_id: int) -> float:
        """For how many seconds the bulk change is not started, since its last attempts came to nothing."""
        with self._database.begin() as tx:
            return queue.rests_for(tx, bulk_change_id, self._pause_seconds)

    def waits_for(self, bulk_change_id: int) -> int | None:
        """The earlier bulk change whose end this one waits for, if any: they share devices."""
        with self._database.begin() as tx:
            return overlaps.waits_for(tx, bulk_change_id)
