"""How far a bulk change is, as server-sent events until its end."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Request
from starlette.responses import StreamingResponse

from m2m_pipeline.domain.status import ENDED_BULK_CHANGES
from m2m_pipeline.services.browsing import Progress
from m2m_pipeline.web.documentation import problems
from m2m_pipeline.web.identity import Caller, Viewer, front_door
from m2m_pipeline.web.models import BASE
from m2m_pipeline.web.streams import LOOK_SECONDS, Streams
from m2m_pipeline.web.submitting import ChangeId

router = APIRouter(prefix=BASE, tags=["bulk changes"])

HEARTBEAT_SECONDS = 15.0
LONGEST_SECONDS = 900.0
"""Then the client connects again, and its key is looked at again."""


@router.get(
    "/bulk-changes/{bulk_change_id}/events",
    operation_id="followBulkChange",
    summary="How far a bulk change is, until its end (server-sent events)",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Events `progress`, and one `end`; comments keep the line open",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **problems("not-found"),
    },
)
async def follow(
    request: Request,
    bulk_change_id: ChangeId,
    caller: Viewer,
    last_event_id: Annotated[str | None, Header(max_length=100)] = None,
) -> StreamingResponse:
    """With `Last-Event-ID`, what the client has seen already is not said again."""
    streams = front_door(request).streams
    who = f"{caller.principal.tenant_id}:{caller.principal.actor}"
    first = await _look(streams, caller, bulk_change_id)
    return streams.serve(who, _events(streams, caller, first, last_event_id))


async def _events(streams: Streams, caller: Caller, first: Progress, last_id: str | None) -> AsyncIterator[str]:
    progress, seen = first, last_id
    ends = time.monotonic() + LONGEST_SECONDS
    silent_since = time.monotonic()
    yield "retry: 2000\n\n"
    while time.monotonic() < ends:
        event_id = f"{progress.status}-{progress.settled}-{progress.carrier_calls}"
        over = progress.status in ENDED_BULK_CHANGES
        if event_id != seen or over:
            yield f"id: {event_id}\nevent: {'end' if over else 'progress'}\ndata: {_data(progress)}\n\n"
            seen, silent_since = event_id, time.monotonic()
        elif time.monotonic() - silent_since >= HEARTBEAT_SECONDS:
            yield ": still here\n\n"
            silent_since = time.monotonic()
        if over:
            return
        await asyncio.sleep(LOOK_SECONDS)
        progress = await _look(streams, caller, progress.id)


async def _look(streams: Streams, caller: Caller, bulk_change_id: int) -> Progress:
    return await streams.progress(
        (caller.principal.tenant_id, bulk_change_id),
        lambda: caller.desk.browsing.progress(caller.tenant, bulk_change_id),
    )


def _data(progress: Progress) -> str:
    return json.dumps(
        {
            "id": progress.id,
            "status": progress.status,
            "total": progress.total,
            "settled": progress.settled,
            "counts": progress.counts,
            "carrier_calls": progress.carrier_calls,
        }
    )
