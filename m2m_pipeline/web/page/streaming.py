"""Progress as it happens: server-sent events for as long as somebody looks."""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import asdict

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from m2m_pipeline.domain.status import UNDER_WAY
from m2m_pipeline.services.browsing import Progress
from m2m_pipeline.services.catalogue import Offer
from m2m_pipeline.web.identity import front_door
from m2m_pipeline.web.page.progress import observed_since, sent, view
from m2m_pipeline.web.page.visiting import Visitor
from m2m_pipeline.web.streams import LOOK_SECONDS

ACCOUNT_EVERY = 5
"""Ticks after which the account and the session are looked at again."""
WINDOW_SECONDS = 20.0
"""Over which the speed is measured; until it has been watched for so long, since the start."""
LASTS_SECONDS = 600.0
"""Then the browser opens the stream anew, by itself."""


def stream(request: Request, known: Visitor, bulk_change_id: int, provider: str) -> Response:
    """The progress of a bulk change once a second until it has ended.

    Raises:
        ProblemError: they have too many open already.

    """
    return front_door(request).streams.serve(known.who, _events(request, known, bulk_change_id, provider))


async def _events(request: Request, known: Visitor, bulk_change_id: int, provider: str) -> AsyncIterator[str]:
    door = front_door(request)
    sessions, streams = door.application.page_sessions, door.streams
    seen: deque[tuple[float, int]] = deque()
    offer: Offer | None = None
    began = time.monotonic()
    tick = 0
    while time.monotonic() - began < LASTS_SECONDS:
        if tick % ACCOUNT_EVERY == 0:
            if await run_in_threadpool(sessions.find, known.token) is None:
                break
            offers = await run_in_threadpool(known.desk.catalogue.offers, known.tenant)
            offer = next((one for one in offers if one.provider.name == provider), None)
        progress = await streams.progress(
            (known.principal.tenant_id, bulk_change_id),
            lambda: known.desk.browsing.progress(known.tenant, bulk_change_id),
        )
        if progress.status not in UNDER_WAY:
            yield "event: end\ndata: {}\n\n"
            return
        now = view(progress.status, progress.counts, offer, _speed(seen, progress))
        yield f"data: {json.dumps(asdict(now))}\n\n"
        tick += 1
        await asyncio.sleep(LOOK_SECONDS)


def _speed(seen: deque[tuple[float, int]], progress: Progress) -> float | None:
    """Devices/s over the last while; None before there is something to measure, or where nothing moved."""
    now = time.monotonic()
    seen.append((now, sent(progress.counts)))
    while len(seen) > 1 and now - seen[1][0] >= WINDOW_SECONDS:
        seen.popleft()
    seconds, devices = now - seen[0][0], seen[-1][1] - seen[0][1]
    if seconds < WINDOW_SECONDS:  # what the page said when it was loaded goes on, instead of nothing
        return observed_since(progress.started_at, progress.counts)
    return devices / seconds or None
