"""What one client may ask of us: bytes of a body, and requests a second."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from m2m_pipeline.web.problems import ProblemError

BURST_SECONDS = 10
"""For how long a client that was silent may ask at once, in seconds of its rate."""
REMEMBERED = 10_000
"""Clients whose rate is remembered; of more, the one that was silent longest is forgotten."""

DRAINED_BYTES = 256 * 1024 * 1024
DRAINED_SECONDS = 60.0
"""How much of a browser's refused body is read all the same: it shows no answer before it has sent everything."""

CLOSE = {"Connection": "close"}
"""Goes with the refusal of a body that was not read to its end."""


class BodyLimit:
    """Refuses bodies that are too long: at once where the client says it, else as soon as they are.

    `refuse` words the refusal for whoever asks.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, refuse: Callable[[Request, ProblemError], Response]) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass, and count what it receives."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > self._max_bytes:
            await self._answer(f"{announced[:20]} bytes are announced", scope, receive, send)
            return
        received = 0
        answered = ended = False

        async def counted() -> Message:
            nonlocal received, ended
            message = await receive()
            received += len(message.get("body", b""))
            ended = not message.get("more_body", False)
            if received > self._max_bytes:
                raise self._error("it is longer")
            return message

        async def watched(message: Message) -> None:
            nonlocal answered
            # Whoever read the body may have taken our refusal for a fault of their own.
            if received <= self._max_bytes:
                await send(message)
            elif not answered:
                answered = True
                await self._answer("it is longer", scope, receive, send, ended=ended)

        await self._app(scope, counted, watched)

    async def _answer(self, seen: str, scope: Scope, receive: Receive, send: Send, *, ended: bool = False) -> None:
        refusal = self._refuse(Request(scope), self._error(seen))
        if not ended and refusal.media_type == "text/html":
            await _drain(receive)
        await refusal(scope, receive, send)

    def _error(self, seen: str) -> ProblemError:
        detail = f"At most {self._max_bytes} bytes are read, and {seen}. Nothing was recorded."
        return ProblemError("request-too-large", detail, CLOSE)


async def _drain(receive: Receive) -> None:
    """Read what is still on its way, and forget it."""
    seen = 0
    try:
        async with asyncio.timeout(DRAINED_SECONDS):
            while seen < DRAINED_BYTES:
                message = await receive()
                seen += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return


class RequestRate:
    """A token bucket for each client. In memory: N processes let through N times as much, and none waits for another.

    What must hold over all processes, the carrier's budget and the tenant's open changes, is in the database.
    """

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._lock = Lock()
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, client: str) -> None:
        """Count one request.

        Raises:
            ProblemError: it is one too many.

        """
        now = time.monotonic()
        with self._lock:
            full_at = max(self._full_at.pop(client, now), now) + 1 / self._per_second
            wait = full_at - now - max(BURST_SECONDS, 1 / self._per_second)
            self._full_at[client] = full_at if wait <= 0 else full_at - 1 / self._per_second
            if len(self._full_at) > REMEMBERED:
                self._full_at.popitem(last=False)
        if wait > 0:
            detail = f"More than {self._per_second:g} requests a second, {BURST_SECONDS} seconds' worth at once."
            raise ProblemError("too-many-requests", detail, {"Retry-After": str(int(wait) + 1)})
