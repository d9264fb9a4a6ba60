"""The OpenID Connect issuer, asked over HTTP: a bounded time for everything, and few threads that wait for it."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Any, TypeVar, cast

import httpx
import jwt

from m2m_pipeline.settings.forms import is_safe_on_its_way

ANSWER_SECONDS = 5.0
"""From the first question to the end of the last answer, however slowly that one comes."""
AT_ONCE = 4
"""Threads that wait for the issuer at a time; requests have 40, and all but those few do without it."""
_MOST_ANSWER_BYTES = 512 * 1024

_Heard = TypeVar("_Heard")


class IssuerSilentError(Exception):
    """The issuer does not answer as it should. Trying again later helps."""


class Room:
    """Room for so many threads at once."""

    def __init__(self, places: int) -> None:
        self._free = BoundedSemaphore(places)

    @contextmanager
    def entered(self, *, patient: bool = False) -> Generator[None]:
        """Be one of them; who is `patient` waits until one has left.

        Raises:
            IssuerSilentError: it is full.

        """
        if not self._free.acquire(blocking=patient):
            raise IssuerSilentError
        try:
            yield
        finally:
            self._free.release()


def ask(conversation: Callable[[httpx.AsyncClient], Awaitable[_Heard]]) -> _Heard:
    """What the issuer says in a conversation.

    Raises:
        IssuerSilentError: it does not say it, or not in time.

    """

    async def in_time() -> _Heard:
        # The client's own limits are for each piece of an answer: a byte a second keeps all of them.
        async with asyncio.timeout(ANSWER_SECONDS), httpx.AsyncClient(timeout=None) as client:  # noqa: S113 - as above
            return await conversation(client)

    try:
        return asyncio.run(in_time())
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, jwt.PyJWTError, ValueError, KeyError, TypeError) as error:
        logging.getLogger(__name__).warning("The OIDC issuer does not answer as it should: %s", type(error).__name__)
        raise IssuerSilentError from None


async def discovered(client: httpx.AsyncClient, issuer: str, name: str) -> str:
    """The address of that name in the document in which an issuer tells of itself.

    Raises:
        ValueError: the document is another issuer's, or none; or what the address says could be changed on its way.
        KeyError: there is no such address.
        httpx.HTTPError: there is no document.

    """
    found = await document(client, "GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if found["issuer"] != issuer:
        raise ValueError("the discovery document is another issuer's")
    address = str(found[name])
    if not is_safe_on_its_way(address):
        raise ValueError("the issuer names an address without TLS")
    return address


async def document(client: httpx.AsyncClient, method: str, address: str, **sent: Any) -> dict[str, Any]:  # noqa: ANN401 - httpx's options
    """The JSON object at an address, which leads on to no other.

    Raises:
        ValueError: what is there is none, or too long.
        httpx.HTTPError: there is nothing.

    """
    async with client.stream(method, address, follow_redirects=False, **sent) as answer:
        answer.raise_for_status()
        content = b""
        async for part in answer.aiter_bytes():
            content += part
            if len(content) > _MOST_ANSWER_BYTES:
                raise ValueError("the document is too long")
    found = json.loads(content)
    if not isinstance(found, dict):
        raise TypeError("the document is no object")
    return cast("dict[str, Any]", found)
