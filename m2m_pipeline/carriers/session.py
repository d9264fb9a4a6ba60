"""The connections below the edge, without those habits of HTTP libraries that would blur what became of a call."""

import os
import ssl
from collections.abc import Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from math import inf
from types import CoroutineType
from typing import ClassVar
from weakref import WeakKeyDictionary

import aiohttp
import httpx
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler

from m2m_pipeline import clock
from m2m_pipeline.domain.carrier import Leave

KEEP_ALIVE = 4.0
"""Seconds an idle connection is kept: less than the 5 s after which common gateways hang up without a word,
for a PUT on a connection that is being closed has an unknown outcome. What is left over is for a call that has its
connection and waits for the word to leave."""

FRESH = 0.5
"""Seconds since its last request left: a connection that was used no longer ago is the next call's, too, where a call
took it and then stayed here. It counts as used just now, so it can be idle for so much longer than `KEEP_ALIVE`."""

_DEPART: ContextVar[Leave] = ContextVar("_DEPART")


@contextmanager
def departing(word: Leave) -> Generator[None]:
    """Requests of the running task wait for this word: the libraries between it and the connection pass none on.

    It is forgotten afterwards: the task, whose context holds the word, would be part of a cycle otherwise.
    """
    before = _DEPART.set(word)
    try:
        yield
    finally:
        _DEPART.reset(before)


class _PromptRequest(aiohttp.ClientRequest):
    """Waits on its connection for the word to leave; then it leaves at once or not at all."""

    used: ClassVar[WeakKeyDictionary[ResponseHandler, float]]  # when each of the session's connections was used last

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        connection = conn.protocol
        assert connection is not None
        try:
            await _DEPART.get()()
        except Exception:
            # The next call finds a new connection standing. One that was idle for long would count as used just now.
            if clock.now() - self.used.get(connection, inf) < FRESH:
                conn.release()
            raise
        if not connection.is_connected():
            raise httpx.ConnectError("the connection was closed before the request left")
        self.used[connection] = clock.now()
        return await super().send(conn)

    def write_bytes(
        self, writer: AbstractStreamWriter, conn: aiohttp.connector.Connection, content_length: int | None = None
    ) -> "CoroutineType[object, object, None]":
        """Write when this is called, and not when what it returns is awaited.

        Before Python 3.12, aiohttp awaits that in the event loop's next turn. Many calls may be before it there, and a
        process that is stopped between the two turns, or with its machine, would write when its lease is another's.
        """
        writing = super().write_bytes(writer, conn, content_length)
        with suppress(StopIteration):
            writing.send(None)
            raise AssertionError("it waits: larger than what a connection takes at once")
        return _nothing()


async def _nothing() -> None:
    """What is left to be done of a request that is written."""


async def _single_attempt(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Undo two habits of the layers below, where the facts are still known.

    aiohttp sends an idempotent request again, PUT included, when a kept connection breaks under it: the
    second PUT would go out before anybody has read what the first one did. And httpx-aiohttp calls a
    connection that broke under a request by the same name as one that never came about. aiohttp raises
    ConnectionTimeoutError and ClientConnectorError from its connector alone, before a byte of the request is
    written.
    """
    try:
        return await handler(request)
    except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
        raise httpx.ConnectError(_why_not_connected(error)) from error
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise httpx.ReadError("connection broke") from error


def _why_not_connected(error: aiohttp.ConnectionTimeoutError | aiohttp.ClientConnectorError) -> str:
    match error:
        case aiohttp.ConnectionTimeoutError():
            return "no connection in time"
        case aiohttp.ClientConnectorDNSError():
            return "the host name does not resolve"
        case aiohttp.ClientConnectorCertificateError():
            return "the host's TLS certificate is not valid for it"
        case aiohttp.ClientSSLError():
            return "the TLS handshake failed"
        case _:
            return f"no connection: {os.strerror(error.errno)}" if error.errno else "no connection"


def session(in_flight: int, tls: ssl.SSLContext) -> aiohttp.ClientSession:
    """Up to `in_flight` connections, for the running event loop."""

    class Request(_PromptRequest):
        used: ClassVar[WeakKeyDictionary[ResponseHandler, float]] = WeakKeyDictionary()

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=in_flight, keepalive_timeout=KEEP_ALIVE, ssl=tls),
        cookie_jar=aiohttp.DummyCookieJar(),
        middlewares=(_single_attempt,),
        request_class=Request,
    )
