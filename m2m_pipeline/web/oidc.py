"""Bearer tokens of an OpenID Connect issuer: verified, never issued."""

import hmac
import logging
import time
from threading import Lock
from typing import Any, cast

import httpx
import jwt

from m2m_pipeline.domain.audit import AuditKind
from m2m_pipeline.domain.permissions import Principal
from m2m_pipeline.services.identity import Identity, SignInFailedError
from m2m_pipeline.services.security_log import SecurityLog
from m2m_pipeline.settings import Settings

ALGORITHMS = ("RS256", "ES256")
"""Never what a token says of itself: with HS256 the public key would be a password."""
REQUIRED = ("exp", "iss", "aud", "sub")
LEEWAY_SECONDS = 30
REFETCH_SECONDS = 60.0
"""Tokens with unknown key ids make us ask the issuer, and no more often than that."""
FRESH_SECONDS = 3600.0
"""A key that the issuer has withdrawn is taken for so long at most."""
MAX_TOKEN_LENGTH = 8_192
MAX_CLAIM_LENGTH = 200
FETCH_TIMEOUT_SECONDS = 5.0
_MAX_DOCUMENT_BYTES = 512 * 1024


class Tokens:
    """Knows the issuer's keys, and tells of each token whose it is."""

    def __init__(self, settings: Settings, log: SecurityLog) -> None:
        self._settings = settings
        self._log = log
        self._lock = Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at: float | None = None

    @property
    def expected(self) -> bool:
        """Whether there is an issuer whose tokens are taken at all."""
        return bool(self._settings.oidc_issuer and self._settings.oidc_audience)

    def verified(self, token: str) -> tuple[str, str, str]:
        """Tenant, role and subject that the token names.

        Raises:
            SignInFailedError: it does not hold; that is in the audit log.

        """
        try:
            return self._named(self._claims(token, self._settings.oidc_audience))
        except (jwt.PyJWTError, _ClaimError) as error:
            self._log.denied(AuditKind.SIGN_IN_FAILED, "oidc:?", f"A token does not hold: {type(error).__name__}.")
            raise SignInFailedError from None

    def signed_in(self, token: str, nonce: str, identity: Identity) -> tuple[Principal, str]:
        """Who has signed in at the issuer for our page, and what they are called. `nonce`: what we sent them with.

        Raises:
            SignInFailedError: the token does not hold; that is in the audit log.

        """
        try:
            claims = self._claims(token, self._settings.oidc_client_id)
            _check_nonce(claims.get("nonce"), nonce)
            tenant, role, subject = self._named(claims)
        except (jwt.PyJWTError, _ClaimError) as error:
            self._log.denied(AuditKind.SIGN_IN_FAILED, "oidc:?", f"A token does not hold: {type(error).__name__}.")
            raise SignInFailedError from None
        called = next((claims[name] for name in ("name", "preferred_username", "email") if claims.get(name)), subject)
        return identity.by_claims(tenant, role, subject), str(called)[:MAX_CLAIM_LENGTH]

    def _named(self, claims: dict[str, Any]) -> tuple[str, str, str]:
        names = (self._settings.oidc_tenant_claim, self._settings.oidc_role_claim, "sub")
        tenant, role, subject = (_text(claims.get(name)) for name in names)
        return tenant, role, subject

    def _claims(self, token: str, audience: str) -> dict[str, Any]:
        if len(token) > MAX_TOKEN_LENGTH:
            raise _ClaimError
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in ALGORITHMS:
            raise jwt.InvalidAlgorithmError
        key = self._key(str(header.get("kid")))
        return jwt.decode(
            token,
            key,
            algorithms=[str(header["alg"])] if key.algorithm_name == header["alg"] else [],
            issuer=self._settings.oidc_issuer,
            audience=audience,
            leeway=LEEWAY_SECONDS,
            options={"require": list(REQUIRED)},
        )

    def _key(self, key_id: str) -> jwt.PyJWK:
        """The issuer's key of that id; it is asked again for one that is unknown, but not often."""
        with self._lock:
            age = float("inf") if self._fetched_at is None else time.monotonic() - self._fetched_at
            if age > FRESH_SECONDS or (key_id not in self._keys and age > REFETCH_SECONDS):
                self._fetched_at = time.monotonic()
                self._keys = self._fetch() or ({} if age > FRESH_SECONDS else self._keys)
            if key_id not in self._keys:
                raise jwt.InvalidKeyError
            return self._keys[key_id]

    def _fetch(self) -> dict[str, jwt.PyJWK]:
        """The issuer's keys by id; none where it does not answer as it should."""
        try:
            with httpx.Client(timeout=FETCH_TIMEOUT_SECONDS, follow_redirects=False) as client:
                address = self._settings.oidc_jwks_url or str(
                    discovered(client, self._settings.oidc_issuer)["jwks_uri"]
                )
                published = jwt.PyJWKSet.from_dict(_document(client, address))
        except (httpx.HTTPError, httpx.InvalidURL, jwt.PyJWTError, ValueError, KeyError, TypeError) as error:
            logging.getLogger(__name__).warning("The OIDC issuer's keys cannot be had: %s", type(error).__name__)
            return {}
        return {key.key_id: key for key in published.keys if key.key_id and key.algorithm_name in ALGORITHMS}


class _ClaimError(Exception):
    """A claim that we need is missing, or no short text."""


def _text(claim: object) -> str:
    if not isinstance(claim, str) or not 0 < len(claim) <= MAX_CLAIM_LENGTH or not claim.isprintable():
        raise _ClaimError
    return claim


def _check_nonce(claim: object, sent: str) -> None:
    if not hmac.compare_digest(_text(claim).encode(), sent.encode()):
        raise _ClaimError


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
