"""The public keys of an OpenID Connect issuer: kept for a while, and longer where it does not answer."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf

import httpx
import jwt

from m2m_pipeline.settings import Settings
from m2m_pipeline.web.issuer import AT_ONCE, IssuerSilentError, Room, ask, discovered, document

ALGORITHMS = ("RS256", "ES256")
"""Never what a token says of itself: with HS256 the public key would be a password."""
REFETCH_SECONDS = 60.0
"""Tokens with unknown key ids make us ask the issuer, and no more often than that."""
FRESH_SECONDS = 3600.0
"""A key that the issuer has withdrawn is taken for so long at most."""
STALE_SECONDS = 24 * 3600.0
"""While the issuer does not answer, the keys that it published last are taken for so long."""


class IssuerAwayError(Exception):
    """The issuer does not answer as it should; without its keys no token can be judged. Trying again later helps."""

    def __init__(self) -> None:
        super().__init__("The token cannot be judged: its issuer does not tell its keys now. Nothing was done.")


@dataclass(frozen=True, slots=True)
class _Published:
    """The issuer's keys by id as it told them at `had_at`; at `asked_at` it was asked for them last."""

    keys: Mapping[str, jwt.PyJWK] = field(default_factory=dict[str, jwt.PyJWK])
    had_at: float = -inf
    asked_at: float = -inf


class IssuerKeys:
    """The keys by id, for all threads. Who brings a key that is known waits for nobody who asks for another."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._published = _Published()
        self._waiting, self._asking = Room(AT_ONCE), Room(1)

    def key(self, key_id: str) -> jwt.PyJWK:
        """The issuer's key of that id.

        Raises:
            InvalidKeyError: it has none of that id.
            IssuerAwayError: it cannot be asked.

        """
        known = key_id in self._published.keys
        if not known or _age(self._published.had_at) > FRESH_SECONDS:
            self._have_it_asked(known=known)
        now = self._published
        if _age(now.had_at) > STALE_SECONDS or (key_id not in now.keys and now.asked_at > now.had_at):
            raise IssuerAwayError
        if key_id not in now.keys:
            raise jwt.InvalidKeyError
        return now.keys[key_id]

    def _have_it_asked(self, *, known: bool) -> None:
        """One thread asks the issuer; of the others a few wait for what it hears, those with a `known` key never.

        Raises:
            IssuerAwayError: nothing is heard of an unknown key.

        """
        if not self._is_due():
            return
        try:
            with self._waiting.entered(), self._asking.entered(patient=not known):
                if self._is_due():
                    self._ask()
        except IssuerSilentError:
            if not known:
                raise IssuerAwayError from None

    def _is_due(self) -> bool:
        return _age(self._published.asked_at) > REFETCH_SECONDS

    def _ask(self) -> None:
        now = time.monotonic()
        try:
            self._published = _Published(ask(self._fetch), had_at=now, asked_at=now)
        except IssuerSilentError:
            self._published = replace(self._published, asked_at=now)

    async def _fetch(self, client: httpx.AsyncClient) -> Mapping[str, jwt.PyJWK]:
        settings = self._settings
        address = settings.oidc_jwks_url or await discovered(client, settings.oidc_issuer, "jwks_uri")
        published = jwt.PyJWKSet.from_dict(await document(client, "GET", address))
        return {key.key_id: key for key in published.keys if key.key_id and key.algorithm_name in ALGORITHMS}


def _age(moment: float) -> float:
    return time.monotonic() - moment
