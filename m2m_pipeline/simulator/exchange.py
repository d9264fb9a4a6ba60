"""One HTTP request and the ways to answer it or not: the ASGI side of the simulator."""

import asyncio
from dataclasses import dataclass
from typing import cast

from starlette.types import Receive, Scope, Send

from m2m_pipeline.simulator.connections import Connections, Peer
from m2m_pipeline.simulator.replies import Reply
from m2m_pipeline.simulator.scenarios import Delivery


@dataclass(slots=True)
class Exchange:
    """A request whose body may still be under way, and the means of answering it."""

    method: str
    path: str
    query: str
    authorization: str | None
    peer: Peer
    _receive: Receive
    _send: Send
    _connections: Connections

    @classmethod
    def of(cls, scope: Scope, receive: Receive, send: Send, connections: Connections) -> "Exchange":
        """Read what the headers tell."""
        headers = cast("list[tuple[bytes, bytes]]", scope["headers"])
        authorization = next((value for name, value in headers if name == b"authorization"), None)
        return cls(
            method=cast("str", scope["method"]),
            path=cast("str", scope["path"]),
            query=cast("bytes", scope["query_string"]).decode("latin-1"),
            authorization=None if authorization is None else authorization.decode("latin-1"),
            peer=cast("Peer", scope["client"]),
            _receive=receive,
            _send=send,
            _connections=connections,
        )

    async def body(self) -> bytes | None:
        """The whole body of the request, or None if the caller went away before its end."""
        parts: list[bytes] = []
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return None
            parts.append(cast("bytes", message.get("body", b"")))
            if not message.get("more_body", False):
                return b"".join(parts)

    async def deliver(self, reply: Reply, delivery: Delivery, interval_s: float) -> bool:
        """Answer in this manner; returns whether a status line was sent to a caller that was still there."""
        match delivery:
            case Delivery.RESET:
                self._connections.reset(self.peer)
            case Delivery.CLOSED:
                self._connections.close(self.peer)
            case Delivery.SILENCE:
                pass
            case Delivery.WHOLE | Delivery.TRUNCATED | Delivery.DRIPPED:
                if self._connections.is_open(self.peer):
                    await self._send_reply(reply, delivery, interval_s)
                    return True
        await self._caller_gone()
        return False

    async def answer(self, reply: Reply) -> None:
        """Answer in full."""
        await self._start(reply)
        await self._send({"type": "http.response.body", "body": reply.body})

    async def _send_reply(self, reply: Reply, delivery: Delivery, interval_s: float) -> None:
        if delivery is Delivery.WHOLE:
            await self.answer(reply)
            return
        await self._start(reply)
        if delivery is Delivery.TRUNCATED:
            await self._send_part(reply.body[: len(reply.body) // 2])
            self._connections.close(self.peer)
            await self._caller_gone()
            return
        for index in range(len(reply.body)):
            await asyncio.sleep(interval_s)
            if not self._connections.is_open(self.peer):
                return
            await self._send_part(reply.body[index : index + 1])
        await self._send({"type": "http.response.body"})

    async def _start(self, reply: Reply) -> None:
        headers = [
            (b"content-type", reply.content_type.encode()),
            (b"content-length", str(len(reply.body)).encode()),
            *((name.lower().encode(), value.encode()) for name, value in reply.headers),
        ]
        await self._send({"type": "http.response.start", "status": reply.status, "headers": headers})

    async def _send_part(self, part: bytes) -> None:
        await self._send({"type": "http.response.body", "body": part, "more_body": True})

    async def _caller_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
