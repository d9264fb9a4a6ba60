"""The edge: whatever the network does, a value that tells whether the carrier can have acted."""

import asyncio
import gzip
import socket

import pytest

from m2m_pipeline.carriers.http import (
    DEFAULT_TIMEOUTS,
    CarrierHttp,
    Fate,
    HttpAnswer,
    LostAnswer,
    NotSent,
    Timeouts,
)
from m2m_pipeline_tests.carriers.wire import (
    Reply,
    Wire,
    answers,
    drips,
    floods,
    hangs_up,
    head,
    reset,
    sends,
    silence,
)

SHORT = Timeouts(connect=0.2, read=0.2, total=0.5)
BODY = '{"ratePlan":"B"}'


async def _put(url: str, timeouts: Timeouts = DEFAULT_TIMEOUTS, calls: int = 1, in_flight: int = 4) -> list[Fate]:
    http = CarrierHttp(url, "Basic c2VjcmV0", in_flight, timeouts, max_body_bytes=100_000)
    try:
        return [await http.call("PUT", "/devices/1", json=BODY) for _ in range(calls)]
    finally:
        await http.close()


def _exchange(*replies: Reply, calls: int = 1, timeouts: Timeouts = DEFAULT_TIMEOUTS) -> tuple[list[Fate], Wire]:
    async def run() -> tuple[list[Fate], Wire]:
        async with Wire(*replies) as wire:
            return await _put(wire.url, timeouts, calls), wire

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        pytest.param(reset, "broke", id="reset"),
        pytest.param(hangs_up, "broke", id="closed"),
        pytest.param(silence, "no answer within 0.2 s", id="silence"),
        pytest.param(drips, "no complete answer within 0.5 s", id="dripping body"),
        pytest.param(floods, "larger than 100000 bytes", id="endless body"),
        pytest.param(answers(200, b" " * 100_001), "larger than 100000 bytes", id="oversized"),
        pytest.param(sends(head(200, 50) + b'{"iccid"', then_closes=True), "broke", id="truncated"),
        pytest.param(sends(b"HTTP/1.1 200 OK\r\nContent-Le", then_closes=True), "broke", id="truncated head"),
        pytest.param(sends(b"\x00\x01 nonsense\r\n\r\n"), "not HTTP", id="not HTTP"),
        pytest.param(
            sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
            "not HTTP",
            id="broken chunk",
        ),
        pytest.param(sends(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000), "not HTTP", id="endless header"),
        pytest.param(
            answers(200, gzip.compress(b" " * 10_000_000), Content_Encoding="gzip"),
            "encoding",
            id="gzip bomb",
        ),
    ],
)
def test_a_call_that_arrived_without_a_whole_answer_is_a_lost_answer(reply: Reply, cause: str) -> None:
    (fate,), wire = _exchange(reply, timeouts=SHORT)

    assert isinstance(fate, LostAnswer)
    assert cause in fate.cause
    assert fate.abandoned is (reply in {silence, drips})
    assert len(wire.requests) == 1


def test_a_reset_before_the_server_read_anything_is_a_lost_answer() -> None:
    # The bytes may have been in its buffer: nobody on this side can know.
    (fate,), _ = _exchange(timeouts=SHORT)

    assert isinstance(fate, LostAnswer)


@pytest.mark.parametrize("breaks", [reset, hangs_up])
def test_a_put_on_a_kept_connection_that_breaks_is_not_sent_again(breaks: Reply) -> None:
    (first, second), wire = _exchange(answers(200, {}), breaks, calls=2)

    assert isinstance(first, HttpAnswer)
    assert isinstance(second, LostAnswer)
    assert len(wire.requests) == 2
    assert wire.connections == 1


def test_a_connection_that_was_closed_while_idle_is_replaced() -> None:
    closing = sends(head(200, 2, Connection="close") + b"{}", then_closes=True)
    fates, wire = _exchange(closing, calls=2)

    assert [type(fate) for fate in fates] == [HttpAnswer, HttpAnswer]
    assert wire.connections == 2


def test_a_refused_connection_is_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    (fate,) = asyncio.run(_put(f"http://127.0.0.1:{port}"))

    assert fate == NotSent("no connection: Connection refused")


def test_a_host_that_does_not_resolve_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    (fate,) = asyncio.run(_put("https://restapi19.invalid"))

    assert fate == NotSent("the host name does not resolve")


def test_a_connection_that_does_not_come_about_in_time_is_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):  # fills the queue of a server that never accepts
            (fate,) = asyncio.run(_put(f"http://127.0.0.1:{port}", SHORT))

    assert fate == NotSent("no connection in time")


def test_a_call_that_waits_in_vain_for_a_free_connection_is_not_sent() -> None:
    async def run() -> tuple[list[Fate], Wire]:
        async with Wire(silence) as wire:
            http = CarrierHttp(wire.url, "Basic c2VjcmV0", 1, Timeouts(connect=0.1, read=0.4, total=1))
            fates = await asyncio.gather(*(http.call("PUT", "/devices/1", json=BODY) for _ in range(3)))
            await http.close()
            return fates, wire

    fates, wire = asyncio.run(run())

    assert sorted(type(fate).__name__ for fate in fates) == ["LostAnswer", "NotSent", "NotSent"]
    assert len(wire.requests) == 1


def test_no_more_connections_than_calls_in_flight() -> None:
    async def run() -> Wire:
        async with Wire(answers(200, {})) as wire:
            http = CarrierHttp(wire.url, "Basic c2VjcmV0", 3, DEFAULT_TIMEOUTS)
            await asyncio.gather(*(http.call("GET", "/echo/1") for _ in range(30)))
            await http.close()
            return wire

    wire = asyncio.run(run())

    assert wire.connections == 3
    assert len(wire.requests) == 30


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    fates, wire = _exchange(answers(302, Location="/devices/2"))

    assert fates == [HttpAnswer(302, b"")]
    assert len(wire.requests) == 1


def test_a_cookie_is_not_sent_back() -> None:
    _, wire = _exchange(answers(200, {}, Set_Cookie="session=1; Path=/"), calls=2)

    assert all("cookie" not in request.headers for request in wire.requests)


def test_a_proxy_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    fates, _ = _exchange(answers(200, {}))

    assert fates == [HttpAnswer(200, b"{}")]


def test_the_request_is_json_signed_in_and_says_who_asks() -> None:
    _, wire = _exchange(answers(200, {}))
    (request,) = wire.requests

    assert (request.method, request.target, request.body) == ("PUT", "/devices/1", BODY.encode())
    assert request.headers["authorization"] == "Basic c2VjcmV0"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["user-agent"].startswith("m2m-pipeline/")
