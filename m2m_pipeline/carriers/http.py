"""The edge to a carrier's HTTP API: with its session, the only module that knows httpx.

Whatever the network does comes back as one of three values. They differ in the question that decides about a
second PUT: can the carrier have seen the call?
"""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Literal
from urllib.parse import urlencode

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from m2m_pipeline.carriers.session import departing, session
from m2m_pipeline.domain.carrier import Leave, at_once

MAX_BODY_BYTES = 1024 * 1024
MAX_RETRY_AFTER = 300.0
"""Seconds. A gate that says it is closed for longer is asked again all the same: the whole account rests meanwhile, one
call in five minutes costs nothing, and a number that was meant as milliseconds would cost half a day."""


@dataclass(frozen=True, slots=True)
class NotSent:
    """The call never left: no connection came about, or it ended before. The carrier cannot have acted."""

    cause: str


@dataclass(frozen=True, slots=True)
class LostAnswer:
    """The call may have left, and no complete answer came back. The carrier may have acted.

    `abandoned`: it was we who hung up, at a time limit, and the carrier may be at the call still.
    """

    cause: str
    abandoned: bool = False


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A complete answer, whoever gave it. `retry_after` is in seconds, at most `MAX_RETRY_AFTER`."""

    status: int
    body: bytes
    retry_after: float | None = None


Fate = NotSent | LostAnswer | HttpAnswer

NEVER_SENT = (httpx.ConnectError, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""The exceptions that prove that nothing left. ConnectTimeout is not among them: httpx-aiohttp gives that
name to every broken connection, whatever had gone over it. Our session tells the two apart before it can."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Time limits of one call, in seconds."""

    connect: float = 5.0  # for a connection, from the pool or new, TLS included
    read: float = 30.0  # of silence while waiting for the answer
    total: float = 40.0  # from when the call left: an answer that comes in drips ends here


DEFAULT_TIMEOUTS = Timeouts()


class _Address(httpx.URL):
    """An address as we wrote it: for httpx to parse what only the layer below reads is a fourteenth of a call's CPU."""

    def __init__(self, host: httpx.URL, path: str) -> None:
        super().__init__(host)
        self._written = f"{host}{path}"

    def __str__(self) -> str:
        return self._written


class CarrierHttp:
    """Connections to one carrier host, for one event loop, signed in with one `Authorization` header.

    Holds at most `in_flight` connections. Follows no redirect, keeps no cookie, reads no proxy from the
    environment, verifies TLS (against certifi's authorities, or those of SSL_CERT_FILE), and writes neither
    bodies nor headers into any log or exception.
    """

    def __init__(
        self,
        base_url: str,
        authorization: str,
        in_flight: int,
        timeouts: Timeouts,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self.clock_ahead = timedelta(0)  # the host's clock to ours, as its last answer told; up to 1 s too little
        self.call_seconds = timeouts.total
        self._host = httpx.URL(base_url)
        self._timeouts = timeouts
        self._max_body_bytes = max_body_bytes
        tls = httpx.create_ssl_context()
        # Plain httpx needs some ten times the CPU for each request once it holds 100 connections. There is no client
        # around the transport: its redirects, cookies, proxies and merging of addresses are a third of a call's CPU,
        # and all that we would do with them is to switch them off.
        self._transport = AiohttpTransport(verify=tls, client=lambda: session(in_flight, tls))
        # Writing has no limit of its own in this transport; a server that does not read meets `total`.
        limits = httpx.Timeout(timeouts.read, connect=timeouts.connect, pool=timeouts.connect)
        self._extensions = {"timeout": limits.as_dict()}
        headers = {
            "Authorization": authorization,
            "Accept": "application/json",
            # Nothing is ever unpacked, so that the cap on the body is a cap on memory.
            "Accept-Encoding": "identity",
            "User-Agent": f"m2m-pipeline/{_version()}",
        }
        self._headers = httpx.Headers(headers)
        self._headers_with_body = httpx.Headers(headers | {"Content-Type": "application/json"})
        self._date = ""  # as the host said it last

    async def call(
        self,
        method: Literal["GET", "PUT"],
        path: str,
        query: Mapping[str, str] | None = None,
        json: str | None = None,
        leave: Leave = at_once,
    ) -> Fate:
        """Send one request, once. `path` comes percent-encoded, `query` does not; `json` is the body.

        Raises what `leave` raises: then nothing was sent.
        """

        async def depart() -> None:
            await leave()
            limit.reschedule(asyncio.get_running_loop().time() + self._timeouts.total)

        headers = self._headers if json is None else self._headers_with_body
        # What httpx would find out about each body and about all headers, we know: a tenth of a call's CPU.
        body = httpx.ByteStream((json or "").encode())
        request = httpx.Request(method, self._host, headers=headers, stream=body, extensions=self._extensions)
        request.url = _Address(self._host, f"{path}?{urlencode(query)}" if query else path)
        request.headers.encoding = "ascii"
        request.read()
        try:
            async with asyncio.timeout(None) as limit:
                with departing(depart):
                    response = await self._transport.handle_async_request(request)
                async with aclosing(response):
                    return await self._answer(response)
        except NEVER_SENT as error:
            return NotSent(str(error))
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            return LostAnswer(self._why_lost(error), abandoned=isinstance(error, httpx.ReadTimeout | TimeoutError))

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.aclose()

    async def _answer(self, response: httpx.Response) -> HttpAnswer | LostAnswer:
        response.headers.encoding = "latin-1"  # httpx tries which of three fits all headers
        if response.headers.get("Content-Encoding", "identity") != "identity":
            return LostAnswer("the answer came in an encoding that was not asked for")
        assert isinstance(response.stream, httpx.AsyncByteStream)
        body = bytearray()
        async for chunk in response.stream:
            body += chunk
            if len(body) > self._max_body_bytes:
                return LostAnswer(f"the answer is larger than {self._max_body_bytes} bytes")
        date, retry_after = response.headers.get("Date", ""), response.headers.get("Retry-After")
        self._look_at_their_clock(date)
        wait = None if retry_after is None else _seconds(retry_after, named_at=_moment(date) or datetime.now(UTC))
        return HttpAnswer(response.status_code, bytes(body), wait)

    def _look_at_their_clock(self, date: str) -> None:
        """A date has no fractions: the first answer of each second tells the most, the others of it nothing."""
        if date == self._date:
            return
        self._date = date
        their_now = _moment(date)
        self.clock_ahead = their_now - datetime.now(UTC) if their_now else timedelta(0)

    def _why_lost(self, error: Exception) -> str:
        # Never the exception's own words: aiohttp's name the request, headers included.
        match error:
            case httpx.ReadTimeout():
                return f"no answer within {self._timeouts.read:g} s"
            case TimeoutError():
                return f"no complete answer within {self._timeouts.total:g} s"
            case aiohttp.ClientResponseError():
                return "the answer is not HTTP"
            case _:
                return "the connection broke before the answer was complete"


def _seconds(retry_after: str, named_at: datetime) -> float | None:
    """The header's delay: seconds, or an HTTP date (RFC 9110, 10.2.3) by the clock of who named it; else None."""
    if retry_after.isascii() and retry_after.isdigit():
        return min(float(retry_after), MAX_RETRY_AFTER)
    moment = _moment(retry_after)
    return min(max((moment - named_at).total_seconds(), 0.0), MAX_RETRY_AFTER) if moment else None


def _moment(http_date: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(http_date)
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC)


def _version() -> str:
    try:
        return version("m2m-pipeline")
    except PackageNotFoundError:  # run from a checkout that nobody installed
        return "0"
