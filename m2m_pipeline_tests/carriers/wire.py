"""A server for what no HTTP library would send: it plays a script on a raw socket and keeps what it was sent."""

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Reply = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""What happens on the connection once a request has been read."""


class Wire:
    """Plays `replies` in turn, the last one for ever; without any, it resets every connection unread."""

    def __init__(self, *replies: Reply, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.connected = asyncio.Event()  # at least once
        self._replies = list(replies)
        self._tls = tls
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for writer in self._open.values():
            writer.transport.abort()
        if self._open:
            await asyncio.wait(self._open)

    async def hang_up(self) -> None:
        """End every open connection in order, and wait until its other end has done so, too."""
        for writer in self._open.values():
            writer.write_eof()
        await asyncio.wait(self._open)

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.connected.set()
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        try:
            if not self._replies:
                await reset(reader, writer)
            while not writer.is_closing():
                self.requests.append(await _request(reader))
                reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
                await reply(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            del self._open[task]
            writer.close()


async def _request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
    method, target, _ = head[0].split(" ")
    pairs = (line.split(": ", 1) for line in head[1:] if line)
    headers = {name.lower(): value for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body)


def head(status: int, length: int, **headers: str) -> bytes:
    """The head of an answer; `Retry_After="3"` becomes the header Retry-After."""
    lines = [f"HTTP/1.1 {status} Reason", f"Content-Length: {length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def answers(status: int, body: object = b"", **headers: str) -> Reply:
    """A well-formed answer. What is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return sends(head(status, len(content), **headers) + content)


def sends(data: bytes, *, then_closes: bool = False) -> Reply:
    """These bytes, and an orderly end of the connection if wanted."""

    async def reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if then_closes:
            writer.close()

    return reply


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """TCP RST."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def hangs_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """TCP FIN, and no answer."""
    writer.close()


async def silence(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Nothing, for as long as the caller waits."""
    await reader.read()


async def drips(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A large answer, a byte every hundredth of a second."""
    writer.write(head(200, 1_000_000))
    while not writer.is_closing():
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


async def floods(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An answer without length and end."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x" * 65536)
        await writer.drain()
