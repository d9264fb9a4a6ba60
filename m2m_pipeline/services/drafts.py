"""Requests between preview and confirmation: kept beside the session, so that a reload shows them again.

No bulk change exists before the confirmation; the draft's id is then its idempotency key.
"""

import logging
import secrets

from pydantic import TypeAdapter

from m2m_pipeline.domain.problems import Problem
from m2m_pipeline.domain.request import BulkChangeRequest, parse_request
from m2m_pipeline.storage import page
from m2m_pipeline.storage.database import Database, DatabaseRefusedError, DatabaseUnavailableError

KEPT = 5
"""Drafts of one session; a further one takes the place of the oldest."""
_LOG = logging.getLogger(__name__)
_FAULTS = TypeAdapter(tuple[Problem, ...])


class DraftUnknownError(Exception):
    """The session has no such draft."""

    def __init__(self) -> None:
        super().__init__(
            "What you had prepared here is kept no more: it belonged to another sign-in, or newer ones took its place. "
            "Nothing was recorded. Trying again does not help; prepare the change anew."
        )


class Drafts:
    """The drafts of signed-in people, each known to their own session alone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, session_id: int, request: BulkChangeRequest) -> str:
        """Keep a request for its confirmation; the draft's id."""
        draft_id = secrets.token_urlsafe(16)
        with self._database.begin() as tx:
            kept = {**request.model_dump(mode="json"), "faults": _FAULTS.dump_python(request.faults, mode="json")}
            page.insert_draft(tx, session_id, draft_id, kept)
            page.delete_older_drafts(tx, session_id, KEPT)
        return draft_id

    def find(self, session_id: int, draft_id: str) -> tuple[BulkChangeRequest, int | None]:
        """The request, and the bulk change that it has become (None: not confirmed; afterwards without its devices).

        Raises:
            DraftUnknownError: the session has none of that id.

        """
        with self._database.begin() as tx:
            draft = page.find_draft(tx, session_id, draft_id)
        if draft is None:
            raise DraftUnknownError
        kept = {**draft.request, "idempotency_key": page.draft_key(draft.id)}
        faults = _FAULTS.validate_python(kept.pop("faults", ()))
        request = parse_request(kept, faults)
        return request, draft.bulk_change_id

    def confirmed(self, draft_id: str, bulk_change_id: int) -> None:
        """Free the draft of its devices, which the bulk change has from now on.

        The change is recorded, whatever happens here: a fault is logged, and `find` knows it by the draft's key.
        """
        try:
            with self._database.begin() as tx:
                page.mark_confirmed(tx, draft_id, bulk_change_id)
        except (DatabaseUnavailableError, DatabaseRefusedError) as error:
            _LOG.warning("Bulk change %d is recorded, and its draft keeps its devices: %s", bulk_change_id, error)
