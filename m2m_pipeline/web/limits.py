"""What one client may ask of us: bytes of a body, and requests a second."""

import time
from collections import OrderedDict
from threading import Lock

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from m2m_pipeline.web.problems import ProblemError, problem_response

BURST_SECONDS = 10
"""For how long a client that was silent may ask at once, in seconds of its rate."""
REMEMBERED = 10_000
"""Clients whose rate is remembered; of more, the one that was silent longest is forgotten."""

_CLOSE = {"Connection": "close"}


class BodyLimit:
    """Refuses bodies that are too long: at once where the client says it, else as soon as they are."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass, and count what it receives."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > self._max_bytes:
            detail = self._told(f"{announced[:20]} bytes are announced")
            await problem_response("request-too-large", detail, headers=_CLOSE)(scope, receive, send)
            return
        received = 0
        answered = False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise ProblemError("request-too-large", self._told("it is longer"))
            return message

        async def watched(message: Message) -> None:
            nonlocal answered
            # Whoever read the body may have taken our refusal for a fault of their own.
            if received <= self._max_bytes:
                await send(message)
            elif not answered:
                answered = True
                refusal = problem_response("request-too-large", self._told("it is longer"), headers=_CLOSE)
                await refusal(scope, receive, send)

        await self._app(scope, counted, watched)

    def _told(self, seen: str) -> str:
        return f"At most {self._max_bytes} bytes are read, and {seen}. Nothing was recorded."


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
