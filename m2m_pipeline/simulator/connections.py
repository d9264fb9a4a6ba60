"""The sockets below the web server, for what a web server cannot do: reset or drop one connection."""

import asyncio
import socket
import struct
from typing import cast

from uvicorn.protocols.http.auto import AutoHTTPProtocol

Peer = tuple[str, int]
"""Address and port of the caller, as in the ASGI scope: unique among the open connections."""

_NO_LINGER = struct.pack("ii", 1, 0)
"""SO_LINGER on, 0 seconds: close sends RST and throws away what was not sent yet."""


class Connections:
    """The open connections of one server, by caller."""

    def __init__(self) -> None:
        self._transports: dict[Peer, asyncio.Transport] = {}

    def protocol(self) -> type[asyncio.Protocol]:
        """Make uvicorn's own HTTP protocol register its transport here for as long as it is open."""
        transports = self._transports

        class TrackedProtocol(AutoHTTPProtocol):
            _peer: Peer | None  # none where the caller has hung up before we came to look

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                peer = transport.get_extra_info("peername")
                self._peer = cast("Peer", peer[:2]) if peer else None
                if self._peer:
                    transports[self._peer] = cast("asyncio.Transport", transport)
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                if self._peer:
                    transports.pop(self._peer, None)
                super().connection_lost(exc)

        return TrackedProtocol

    def is_open(self, peer: Peer) -> bool:
        """Whether the caller can still be answered."""
        transport = self._transports.get(peer)
        return transport is not None and not transport.is_closing()

    def reset(self, peer: Peer) -> None:
        """End the connection with a TCP reset."""
        if (transport := self._transports.get(peer)) is not None:
            connection = cast("socket.socket", transport.get_extra_info("socket"))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            transport.abort()

    def close(self, peer: Peer) -> None:
        """End the connection in order: what was written is sent, then FIN."""
        if (transport := self._transports.get(peer)) is not None:
            transport.close()

    def abort_all(self) -> None:
        """End every connection at once."""
        for transport in list(self._transports.values()):
            transport.abort()
