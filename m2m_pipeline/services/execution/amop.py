"""Tells AMOP of a batch: all at once, and where that fails device by device, so that one bad row takes none along."""

from collections.abc import Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from m2m_pipeline.domain.attempt import Attempt
from m2m_pipeline.storage import amop
from m2m_pipeline.storage.connections import OVERTAKEN
from m2m_pipeline.storage.database import Database, retrying_transient


@retrying_transient
def update_amop(database: Database, attempt: Attempt, batch: int | None, *, unverified: bool) -> None:
    """Bring the inventory to what the carrier has applied in a batch, or in all for None. Idempotent.

    Raises:
        LeaseLostError: another attempt owns the bulk change.
        DatabaseUnavailableError: after the retries.

    """
    with database.fenced(attempt, shared=True) as tx:
        ids = amop.list_ready(tx, attempt.bulk_change_id, batch, unverified=unverified)
        if _all_at_once(tx, ids):
            return
        for id_ in ids:
            _alone(tx, id_)


def _all_at_once(tx: Connection, ids: Sequence[int]) -> bool:
    savepoint = tx.begin_nested()
    try:
        complete = amop.update(tx, ids) == len(ids)
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        complete = False
    if complete:
        savepoint.commit()
    else:
        savepoint.rollback()
    return complete


def _alone(tx: Connection, id_: int) -> None:
    try:
        with tx.begin_nested():
            found = amop.update(tx, [id_])
        why = None if found else "the device is no longer in the inventory"
    except DBAPIError as error:
        if error.connection_invalidated or isinstance(error.orig, OVERTAKEN):
            raise
        why = f"the database refused the row ({type(error.orig).__name__})"
    if why:
        amop.mark_failed(tx, id_, why)
