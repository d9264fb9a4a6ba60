"""Events: what is written into the outbox, in the transaction of what it tells."""

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import Connection

from m2m_pipeline.domain.accounts import ServiceProvider
from m2m_pipeline.domain.change import BulkChange
from m2m_pipeline.domain.commands import command
from m2m_pipeline.domain.drift import CAUSES, DRIFT, DriftCause
from m2m_pipeline.domain.notices import Event, EventType
from m2m_pipeline.services.reporting import ResultDocument
from m2m_pipeline.storage import accounts, outbox

_SAYS_SOMETHING_NEW = ("status", "counts", "failures", "skipped", "reason", "message")
"""Fields of a result document whose change is news; that it was looked at again is none."""


_DRIFT = "m2m drift --provider NAME --format csv --tenant TENANT"


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


def tell_drift(
    tx: Connection,
    provider: ServiceProvider,
    before: Mapping[DriftCause, int],
    now: Mapping[DriftCause, int],
    new: int,
) -> None:
    """Write the notices of a pass that ends: devices that differ `now` and after the pass `before`, by cause.

    `new`: devices of which it was not known. A pass that shows what the one before it showed is not told.
    """
    drifted = {cause: devices for cause, devices in now.items() if cause in DRIFT}
    if not new and drifted == {cause: devices for cause, devices in before.items() if cause in DRIFT}:
        return
    title = f"{provider.name}: {sum(drifted.values())} devices have drifted, {new} of them since the last look"
    causes = [
        {"cause": cause.value, "title": CAUSES[cause].title, "devices": devices, "next_step": CAUSES[cause].next_step}
        for cause, devices in drifted.items()
    ]
    lines = [f"{one['devices']} {one['title']}. {one['next_step']}" for one in causes]
    words = {"NAME": provider.name, "TENANT": accounts.tenant_name(tx, provider.tenant_id)}
    text = "\n\n".join([title, *lines, f"Type:\n  {command(_DRIFT, words)}"])
    told = {"provider": provider.name, "drifted": sum(drifted.values()), "new": new, "causes": causes}
    outbox.write(tx, provider.tenant_id, event(EventType.DRIFT_CHANGED, {**told, "title": title, "text": f"{text}\n"}))
