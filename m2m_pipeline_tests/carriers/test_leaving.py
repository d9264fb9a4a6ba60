"""The word to leave: a call waits for it on a connection that stands already, and leaves at once or not at all."""

import asyncio
import socket
from collections.abc import Sequence

import pytest

from m2m_pipeline.carriers import session
from m2m_pipeline.carriers.http import DEFAULT_TIMEOUTS, CarrierHttp, Fate, HttpAnswer, LostAnswer, NotSent, Timeouts
from m2m_pipeline.domain.budget.turns import LATE_SECONDS
from m2m_pipeline.services.departing import HEAD_START_SECONDS
from m2m_pipeline_tests.carriers.wire import Wire, answers, silence

WAIT_SECONDS = 5.0
GATEWAYS_KEEP_SECONDS = 5.0
"""How long common gateways keep an idle connection."""


class NotNowError(Exception):
    """Says that a call stays here."""


class Words:
    """What each call is told in its turn; `asked`: the connections and requests that the wire had seen then."""

    def __init__(self, wire: Wire, *stays: bool) -> None:
        self.asked: list[tuple[int, int]] = []
        self._wire = wire
        self._stays = iter(stays)

    async def leave(self) -> None:
        async with asyncio.timeout(WAIT_SECONDS):  # it stands for us before the wire has heard of it
            await self._wire.connected.wait()
        self.asked.append((self._wire.connections, len(self._wire.requests)))
        if next(self._stays):
            raise NotNowError


def calls(*stays: bool) -> tuple[list[tuple[int, int]], Sequence[Fate | NotNowError]]:
    """What calls found, one after the other, each of which leaves or `stays`, and what became of them."""

    async def run() -> tuple[list[tuple[int, int]], Sequence[Fate | NotNowError]]:
        async with Wire(answers(200)) as wire:
            words = Words(wire, *stays)
            http = CarrierHttp(wire.url, "Basic c2VjcmV0", 1, DEFAULT_TIMEOUTS)
            fates: list[Fate | NotNowError] = []
            for _ in stays:
                try:
                    fates.append(await http.call("PUT", "/devices/1", json="{}", leave=words.leave))
                except NotNowError as error:
                    fates.append(error)
            await http.close()
            return [*words.asked, (wire.connections, len(wire.requests))], fates

    return asyncio.run(run())


def test_a_call_has_its_connection_before_it_is_told_to_leave() -> None:
    assert calls(False) == ([(1, 0), (1, 1)], [HttpAnswer(200, b"")])


def test_a_new_connection_whose_call_stays_is_the_next_calls() -> None:
    """It took the moment that the call missed: the next one must not pay for another."""
    asked, (stays, leaves) = calls(True, False)

    assert isinstance(stays, NotNowError)
    assert isinstance(leaves, HttpAnswer)
    assert asked == [(1, 0), (1, 0), (1, 1)]


def test_a_connection_used_just_before_is_the_next_calls_where_a_call_stays() -> None:
    """A process that is late loses many moments: it would be later still if each cost a connection, too."""
    asked, _ = calls(False, True, True, False)

    assert asked[-1] == (1, 2)


def test_a_connection_used_longer_ago_is_given_up_where_a_call_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was idle before the call: kept on, it could be idle for longer than the gateway keeps it."""
    monkeypatch.setattr(session, "FRESH", 0.0)
    asked, _ = calls(False, True, False)

    assert asked[-1] == (2, 2)


def test_an_idle_connection_is_closed_before_a_common_gateway_closes_it() -> None:
    assert session.KEEP_ALIVE + session.FRESH + HEAD_START_SECONDS + LATE_SECONDS < GATEWAYS_KEEP_SECONDS


def test_a_call_is_written_in_the_turn_of_the_event_loop_in_which_it_may_leave() -> None:
    """Between two turns the process may be held up for long: another attempt may own the device by then."""

    async def run() -> bytes:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as server:
            arrived: asyncio.Future[bytes] = loop.create_future()

            async def leave() -> None:
                peer, _ = server.accept()
                loop.call_soon(look, peer)

            def look(peer: socket.socket) -> None:
                with peer:
                    peer.setblocking(False)
                    try:
                        arrived.set_result(peer.recv(4096))
                    except BlockingIOError:
                        arrived.set_result(b"")

            http = CarrierHttp(f"http://127.0.0.1:{server.getsockname()[1]}", "Basic c2VjcmV0", 1, DEFAULT_TIMEOUTS)
            assert isinstance(await http.call("PUT", "/devices/1", json='{"a":1}', leave=leave), LostAnswer)
            await http.close()
            return await arrived

    head, _, body = asyncio.run(run()).partition(b"\r\n\r\n")

    assert head.startswith(b"PUT /devices/1 HTTP/1.1\r\n")
    assert body == b'{"a":1}'


def test_a_call_whose_connection_closes_while_it_waits_is_not_sent() -> None:
    async def run() -> tuple[Sequence[Fate], int]:
        hung_up = asyncio.Event()

        async def wait() -> None:
            await hung_up.wait()

        async with Wire(answers(200)) as wire:
            http = CarrierHttp(wire.url, "Basic c2VjcmV0", 1, DEFAULT_TIMEOUTS)
            first = await http.call("PUT", "/devices/1", json="{}")
            second = asyncio.create_task(http.call("PUT", "/devices/2", json="{}", leave=wait))
            await wire.hang_up()
            hung_up.set()
            fates = [first, await second]
            await http.close()
            return fates, len(wire.requests)

    (first, second), arrived = asyncio.run(run())

    assert isinstance(first, HttpAnswer)
    assert second == NotSent("the connection was closed before the request left")
    assert arrived == 1


@pytest.mark.parametrize("requests", [0, 1], ids=["new", "used"])
def test_a_call_that_is_cancelled_while_it_waits_leaves_nothing_behind(requests: int) -> None:
    async def run() -> tuple[Fate, int]:
        waits = asyncio.Event()

        async def wait() -> None:
            waits.set()
            await asyncio.get_running_loop().create_future()

        async with Wire(answers(200)) as wire:
            http = CarrierHttp(wire.url, "Basic c2VjcmV0", 1, DEFAULT_TIMEOUTS)
            for _ in range(requests):
                await http.call("PUT", "/devices/1", json="{}")
            cut = asyncio.create_task(http.call("PUT", "/devices/2", json="{}", leave=wait))
            await waits.wait()
            cut.cancel()
            await asyncio.wait([cut])
            after = await http.call("PUT", "/devices/3", json="{}")
            await http.close()
            return after, len(wire.requests)

    after, arrived = asyncio.run(run())

    assert isinstance(after, HttpAnswer), "its one connection is free again"
    assert arrived == requests + 1


def test_the_time_limit_of_a_call_begins_when_it_leaves() -> None:
    limit = 0.3

    async def run() -> tuple[Fate, float]:
        clock = asyncio.get_running_loop().time

        async def wait() -> None:
            nonlocal left_at
            await asyncio.sleep(1.5 * limit)
            left_at = clock()

        left_at = clock()
        async with Wire(silence) as wire:
            http = CarrierHttp(wire.url, "Basic c2VjcmV0", 1, Timeouts(connect=1, read=10, total=limit))
            fate = await http.call("PUT", "/devices/1", json="{}", leave=wait)
            await http.close()
            return fate, clock() - left_at

    fate, seconds = asyncio.run(run())

    assert fate == LostAnswer("no complete answer within 0.3 s", abandoned=True)
    assert seconds >= limit
