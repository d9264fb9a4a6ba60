"""The edge and httpx's exceptions: each has been judged, and none gets out."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from m2m_pipeline.carriers.http import DEFAULT_TIMEOUTS, NEVER_SENT, CarrierHttp, Fate, LostAnswer, NotSent


def _subclasses(error: type[Exception]) -> Iterator[type[Exception]]:
    for subclass in error.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


JUDGED = {
    httpx.ConnectError: NotSent,
    httpx.PoolTimeout: NotSent,
    httpx.UnsupportedProtocol: NotSent,
    httpx.CloseError: LostAnswer,
    httpx.ConnectTimeout: LostAnswer,
    httpx.DecodingError: LostAnswer,
    httpx.HTTPStatusError: LostAnswer,
    httpx.LocalProtocolError: LostAnswer,
    httpx.NetworkError: LostAnswer,
    httpx.ProtocolError: LostAnswer,
    httpx.ProxyError: LostAnswer,
    httpx.ReadError: LostAnswer,
    httpx.ReadTimeout: LostAnswer,
    httpx.RemoteProtocolError: LostAnswer,
    httpx.RequestError: LostAnswer,
    httpx.TimeoutException: LostAnswer,
    httpx.TooManyRedirects: LostAnswer,
    httpx.TransportError: LostAnswer,
    httpx.WriteError: LostAnswer,
    httpx.WriteTimeout: LostAnswer,
}


def test_every_exception_of_httpx_has_been_judged() -> None:
    # A new one is a lost answer until somebody has looked at it and written it down here.
    assert set(_subclasses(httpx.HTTPError)) == set(JUDGED)
    assert {error for error, fate in JUDGED.items() if fate is NotSent} == set(NEVER_SENT)


@pytest.mark.parametrize(("error", "kind"), JUDGED.items())
def test_no_exception_of_httpx_leaves_the_edge(
    error: type[httpx.HTTPError], kind: type[Fate], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error.__new__(error, "said")

    monkeypatch.setattr("httpx_aiohttp.AiohttpTransport.handle_async_request", fail)

    async def run() -> Fate:
        http = CarrierHttp("http://127.0.0.1:9", "Basic c2VjcmV0", 1, DEFAULT_TIMEOUTS)
        try:
            return await http.call("PUT", "/devices/1", json="{}")
        finally:
            await http.close()

    assert isinstance(asyncio.run(run()), kind)
