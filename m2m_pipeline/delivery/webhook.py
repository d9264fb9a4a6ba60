"""Delivery by HTTP POST: signed, once, to the address that was checked, following nothing."""

import asyncio
import os
import ssl
import time

import aiohttp
import httpx

from m2m_pipeline.delivery.addresses import CheckedResolver, DestinationPolicy
from m2m_pipeline.delivery.signing import EVENT_ID, EVENT_TYPE, SIGNATURE, signature
from m2m_pipeline.domain.notices import Destination, Event, Failed, ForbiddenAddressError

TOTAL_SECONDS, CONNECT_SECONDS = 10.0, 5.0
MOST_ANSWER_BYTES = 16 * 1024
"""Nothing of the answer is kept; one that is larger is not read to its end."""

_GONE = 410
_DELIVERED = range(200, 300)


class WebhookSender:
    """Posts events. Has no cookies, no proxy, no redirects, and no connection that outlives a delivery."""

    def __init__(self, policy: DestinationPolicy, total_seconds: float = TOTAL_SECONDS) -> None:
        self._policy = policy
        self._timeout = aiohttp.ClientTimeout(total=total_seconds, connect=min(CONNECT_SECONDS, total_seconds))

    async def send(self, destination: Destination, event: Event) -> Failed | None:
        """Post the event; only an answer of 2xx within the time limit confirms it."""
        try:
            self._policy.check(destination.address)
            status = await self._post(destination, event)
        except ForbiddenAddressError as error:
            return Failed(f"The address may not be called: {error}", final=True)
        except aiohttp.InvalidURL:
            return Failed("The address may not be called: it is none.", final=True)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return Failed(self._why(error))
        if status in _DELIVERED:
            return None
        if status == _GONE:
            return Failed("The receiver answered 410: it wants this no more.", final=True)
        return Failed(f"The receiver answered {status}; only 2xx confirms a delivery.")

    async def _post(self, destination: Destination, event: Event) -> int:
        body = event.body.encode()
        headers = {
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "m2m-pipeline",
            EVENT_ID: event.id,
            EVENT_TYPE: event.type.value,
            SIGNATURE: signature(destination.secrets, int(time.time()), body),
        }
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=CheckedResolver(self._policy), use_dns_cache=False, force_close=True, ssl=_tls()
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
                auto_decompress=False,
            ) as session,
            session.post(destination.address, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            await answer.content.read(MOST_ANSWER_BYTES)
            return answer.status

    def _why(self, error: Exception) -> str:
        """What went wrong: never the exception's own words, which may repeat the request."""
        match error:
            case asyncio.TimeoutError():
                return f"No answer within {self._timeout.total:g} s."
            case aiohttp.ClientConnectorDNSError():
                return "The host name does not resolve."
            case aiohttp.ClientConnectorCertificateError():
                return "The host's TLS certificate is not valid for it."
            case aiohttp.ClientSSLError():
                return "The TLS handshake failed."
            case aiohttp.ClientConnectorError() if error.errno:
                return f"No connection: {os.strerror(error.errno)}."
            case _:
                return f"The connection broke, or the answer is not HTTP ({type(error).__name__})."


def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # the authorities that carriers are checked against
