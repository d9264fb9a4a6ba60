"""The public keys of an OpenID Connect issuer: kept for a while, and longer where it does not answer."""

import logging
import time
from math import inf
from threading import Lock
from typing import Any, cast

import httpx
import jwt

from m2m_pipeline.settings import Settings

ALGORITHMS = ("RS256", "ES256")
"""Never what a token says of itself: with HS256 the public key would be a password."""
REFETCH_SECONDS = 60.0
"""Tokens with unknown key ids make us ask the issuer, and no more often than that."""
FRESH_SECONDS = 3600.0
"""A key that the issuer has withdrawn is taken for so long at most."""
STALE_SECONDS = 24 * 3600.0
"""While the issuer does not answer, the keys that it published last are taken for so long."""
FETCH_TIMEOUT_SECONDS = 5.0
_MAX_DOCUMENT_BYTES = 512 * 1024


class IssuerAwayError(Exception):
    """The issuer does not answer as it should; without its keys no token can be judged. Trying again later helps."""

    def __init__(self) -> None:
        super().__init__("The token cannot be judged: its issuer does not tell its keys now. Nothing was done.")


class IssuerKeys:
    """The keys by id, for all threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._asked_at = self._had_at = -inf

    def key(self, key_id: str) -> jwt.PyJWK:
        """The issuer's key of that id.

        Raises:
            InvalidKeyError: it has none of that id.
            IssuerAwayError: it cannot be asked.

        """
        with self._lock:
            known = key_id in self._keys
            if (_age(self._had_at) > FRESH_SECONDS or not known) and _age(self._asked_at) > REFETCH_SECONDS:
                self._ask()
            if _age(self._had_at) > STALE_SECONDS or (self._asked_at > self._had_at and key_id not in self._keys):
                raise IssuerAwayError
            if key_id not in self._keys:
                raise jwt.InvalidKeyError
            return self._keys[key_id]

    def _ask(self) -> None:
        self._asked_at = time.monotonic()
        try:
            self._keys = self._fetch()
        except (httpx.HTTPError, httpx.InvalidURL, jwt.PyJWTError, ValueError, KeyError, TypeError) as error:
            logging.getLogger(__name__).warning("The OIDC issuer's keys cannot be had: %s", type(error).__name__)
        else:
            self._had_at = self._asked_at

    def _fetch(self) -> dict[str, jwt.PyJWK]:
        with httpx.Client(timeout=FETCH_TIMEOUT_SECONDS, follow_redirects=False) as client:
            address = self._settings.oidc_jwks_url or str(discovered(client, self._settings.oidc_issuer)["jwks_uri"])
            published = jwt.PyJWKSet.from_dict(_document(client, address))
        return {key.key_id: key for key in published.keys if key.key_id and key.algorithm_name in ALGORITHMS}


def discovered(client: httpx.Client, issuer: str) -> dict[str, Any]:
    """What an issuer says of itself.

    Raises:
        ValueError: it is another issuer's, or too long.
        httpx.HTTPError: there is none.

    """
    found = _document(client, f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if found["issuer"] != issuer:
        raise ValueError("the discovery document is another issuer's")
    return found


def _document(client: httpx.Client, address: str) -> dict[str, Any]:
    response = client.get(address).raise_for_status()
    if len(response.content) > _MAX_DOCUMENT_BYTES:
        raise ValueError("the document is too long")
    return cast("dict[str, Any]", response.json())


def _age(moment: float) -> float:
    return time.monotonic() - moment
