"""Events: what is written into the outbox, in the transaction of what it tells."""

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import Connection

from m2m_pipeline.domain.change import BulkChange
from m2m_pipeline.domain.notices import Event, EventType
from m2m_pipeline.services.reporting import ResultDocument
from m2m_pipeline.storage import outbox

_SAYS_SOMETHING_NEW = ("status", "counts", "failures", "skipped", "reason", "message")
"""Fields of a result document whose change is news; that it was looked at again is none."""


def event(kind: EventType, data: Mapping[str, object], **more: object) -> Event:
    """An event with an id of its own, its body fixed to the byte."""
    event_id = f"evt_{uuid.uuid4().hex}"
    content = {"id": event_id, "type": kind.value, "created_at": datetime.now(UTC).isoformat(), **more, "data": data}
    return Event(event_id, kind, json.dumps(content))


def tell_end(tx: Connection, change: BulkChange, document: ResultDocument) -> None:
    """Write the notices of a bulk change that ends, after the audit entry of that end.

    `change` as it was before: a reconciliation that found nothing new is not told.
    """
    told = document.model_dump(mode="json")
    before = change.result
    if before is not None and all(before.get(name) == told[name] for name in _SAYS_SOMETHING_NEW):
        return
    sequence = outbox.count_endings(tx, change.id)
    outbox.write(tx, change.tenant_id, event(EventType.BULK_CHANGE_ENDED, told, sequence=sequence), change.id)
