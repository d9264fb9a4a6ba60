"""Which ends the catalog was told of: it is another database, so that a commit here and the telling may be parted."""

from collections.abc import Iterable, Sequence

from m2m_pipeline.services.reporting import ResultDocument, fold
from m2m_pipeline.storage import bulk_changes, shown_ends
from m2m_pipeline.storage.database import Database

UNSHOWN_SECONDS = 60.0
"""So long whoever has ended a bulk change may take to tell the catalog."""

MOST = 20
"""Ends that are told in one look: some events each."""


class Showing:
    """An end is noted after the catalog was told: rather told twice than never."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, documents: Iterable[ResultDocument]) -> None:
        """The catalog was told of these ends."""
        with self._database.begin() as tx:
            for one in documents:
                if one.timings.ended_at:
                    shown_ends.note(tx, one.id, one.timings.ended_at)

    def list_untold(self) -> Sequence[ResultDocument]:
        """Ends, the first of them, of which nobody has told the catalog in time."""
        with self._database.begin() as tx:
            found = [bulk_changes.find(tx, one) for one in shown_ends.list_unshown(tx, UNSHOWN_SECONDS, MOST)]
            return [fold(tx, change) for change in found if change]
