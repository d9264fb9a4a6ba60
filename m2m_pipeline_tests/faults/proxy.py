"""A wire that can be cut: a TCP proxy before the carrier or the database, which does harm to chosen requests."""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto


class Harm(Enum):
    """What happens to a request that is struck, and to its connection."""

    CUT_BEFORE = auto()
    """It does not arrive; both ends see a reset."""
    CUT_INSIDE = auto()
    """Its first half arrives; both ends see a reset."""
    LOSE_ANSWER = auto()
    """It arrives and is answered; the answer does not come back, but a reset."""
    CUT_ANSWER = auto()
    """It arrives and is answered; the first `part` bytes of the answer come back, then a reset."""
    STALL = auto()
    """It arrives; nothing comes back for `seconds`, then a reset."""
    HALF_OPEN = auto()
    """It does not arrive, and nobody says so for `seconds`; then a reset."""
    DELAY = auto()
    """It arrives, and the answer comes back `seconds` later."""


@dataclass
class Fault:
    """Whom to strike, and how: the requests numbered `turns` (from 1) among those that hold `word`.

    `after`: only on a connection that has carried this word before.
    """

    harm: Harm
    word: bytes
    turns: frozenset[int] = frozenset({1})
    after: bytes = b""
    part: int = 30
    seconds: float = 0.3
    seen: int = 0
    struck: int = 0

    def strikes(self, request: bytes, passed: set[bytes]) -> bool:
        """Whether it strikes a request; `passed`: the words that its connection has carried."""
        if self.word not in request or (self.after and self.after not in passed):
            return False
        self.seen += 1
        if self.seen not in self.turns:
            return False
        self.struck += 1
        return True


@dataclass
class Outage(Fault):
    """From the request that is struck on, nothing gets through any more; `spared`: that request itself still does."""

    spared: bool = False

    def strikes(self, request: bytes, passed: set[bytes]) -> bool:
        """Whether it strikes a request, as every one after the first does."""
        if self.struck:
            self.harm = Harm.CUT_BEFORE
            return True
        return super().strikes(request, passed) and not self.spared


@dataclass
class _Wire:
    """One connection, led through."""

    client: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    server: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    passed: set[bytes] = field(default_factory=set[bytes])
    harm: Fault | None = None  # what is to be done to the answer that comes next


class Proxy:
    """Leads connections to `target`. Runs in a thread of its own; `fault` may be set at any time.

    `distance`: the seconds that each way takes. `tls`: it is this end's, and the target is led to without.
    """

    def __init__(self, target: tuple[str, int], distance: float = 0.0, tls: ssl.SSLContext | None = None) -> None:
        self.fault: Fault | None = None
        self._target = target
        self._distance = distance
        self._loop = asyncio.new_event_loop()
        self._wires: set[asyncio.Task[None]] = set()
        listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = listening.getsockname()[1]
        self._server = self._loop.run_until_complete(asyncio.start_server(self._lead, sock=listening, ssl=tls))
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._thread.start()

    def close(self) -> None:
        """Cut everything and end."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for wire in self._wires:
            wire.cancel()
        await asyncio.gather(*self._wires, return_exceptions=True)

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._wires.add(task)
        try:
            wire = _Wire((reader, writer), await asyncio.open_connection(*self._target))
            ways = {asyncio.create_task(self._requests(wire)), asyncio.create_task(self._answers(wire))}
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
                _reset(wire.client[1])
                _reset(wire.server[1])
        except (OSError, asyncio.CancelledError):
            _reset(writer)
        finally:
            self._wires.discard(task)

    async def _requests(self, wire: _Wire) -> None:
        """Carry requests until one is struck in a way that ends the connection, or an end hangs up."""
        while request := await wire.client[0].read(65536):
            fault = self.fault
            if fault is not None and fault.strikes(request, wire.passed):
                match fault.harm:
                    case Harm.CUT_BEFORE:
                        return
                    case Harm.CUT_INSIDE:
                        wire.server[1].write(request[: len(request) // 2])
                        await wire.server[1].drain()
                        return
                    case Harm.HALF_OPEN:
                        await asyncio.sleep(fault.seconds)
                        return
                    case _:
                        wire.harm = fault
            elif fault is not None and fault.after and fault.after in request:
                wire.passed.add(fault.after)
            await self._carry(request, wire.server[1])

    async def _answers(self, wire: _Wire) -> None:
        """Carry answers, until one is struck or an end hangs up."""
        while answer := await wire.server[0].read(65536):
            fault, wire.harm = wire.harm, None
            if fault is not None:
                if fault.harm in {Harm.STALL, Harm.DELAY}:
                    await asyncio.sleep(fault.seconds)
                if fault.harm is Harm.CUT_ANSWER:
                    wire.client[1].write(answer[: fault.part])
                    await wire.client[1].drain()
                if fault.harm is not Harm.DELAY:
                    return
            await self._carry(answer, wire.client[1])

    async def _carry(self, data: bytes, end: asyncio.StreamWriter) -> None:
        if self._distance:  # what follows is not held up: it comes as much later
            self._loop.call_later(self._distance, end.write, data)
        else:
            end.write(data)
            await end.drain()


@contextmanager
def proxy_before(host: str, port: int, *, distance: float = 0.0, tls: ssl.SSLContext | None = None) -> Generator[Proxy]:
    """A proxy that leads to a server, until it does harm."""
    proxy = Proxy((host, port), distance, tls)
    try:
        yield proxy
    finally:
        proxy.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Hang up with a reset, and without waiting for what is still to be written."""
    end = writer.get_extra_info("socket")
    if end is not None:
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
