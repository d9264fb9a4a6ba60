"""Signing in at an OpenID Connect issuer: authorization code with PKCE, state and nonce (RFC 7636, OIDC Core 3.1)."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import httpx

from m2m_pipeline.settings import Settings
from m2m_pipeline.web.issuer import AT_ONCE, Room, ask, discovered, document

SCOPE = "openid profile email"
CALLBACK = "/sign-in/callback"
_RANDOM_BYTES = 32
_PARTS = 3  # state, nonce, verifier
_SIGNING_IN = Room(AT_ONCE)


class FlowError(Exception):
    """The issuer, or somebody in its name, did not do its part. The message is for our log."""


@dataclass(frozen=True, slots=True)
class Started:
    """What one browser must bring back: kept in its cookie while it is at the issuer."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def anew(cls) -> "Started":
        """Random values, for one sign-in."""
        return cls(*(secrets.token_urlsafe(_RANDOM_BYTES) for _ in range(_PARTS)))

    @classmethod
    def read(cls, cookie: str) -> "Started":
        """The values in a cookie.

        Raises:
            FlowError: it is none of ours.

        """
        parts = cookie.split(".")
        if len(parts) != _PARTS or not all(parts):
            raise FlowError("the browser brings no sign-in that it began here")
        return cls(*parts)

    @property
    def cookie(self) -> str:
        """As it is kept in the browser."""
        return f"{self.state}.{self.nonce}.{self.verifier}"


def offered(settings: Settings) -> bool:
    """Whether the page signs people in at an issuer."""
    return bool(settings.oidc_issuer and settings.oidc_client_id and settings.public_url)


def issuer_address(settings: Settings, started: Started) -> str:
    """Where the browser signs in.

    Raises:
        IssuerSilentError: the issuer does not say where.

    """
    challenge = base64.urlsafe_b64encode(hashlib.sha256(started.verifier.encode()).digest()).decode().rstrip("=")
    asked = {
        "response_type": "code",
        "client_id": settings.oidc_client_id,
        "redirect_uri": settings.public_url + CALLBACK,
        "scope": SCOPE,
        "state": started.state,
        "nonce": started.nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    endpoint = _asked(lambda client: discovered(client, settings.oidc_issuer, "authorization_endpoint"))
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"


def identity_token(settings: Settings, started: Started, answer: Mapping[str, str]) -> str:
    """The token for the code that the browser brought back; not verified yet.

    Raises:
        FlowError: it is not the answer to what this browser began, or the issuer gives no token for it.
        IssuerSilentError: the issuer does not answer.

    """
    if not hmac.compare_digest(answer.get("state", "").encode(), started.state.encode()):
        raise FlowError("the state is not the one that this browser began with")
    if answer.get("iss", settings.oidc_issuer) != settings.oidc_issuer:
        raise FlowError("another issuer answers")
    if "code" not in answer:
        raise FlowError("the issuer gave no code")
    fields = {
        "grant_type": "authorization_code",
        "code": answer["code"],
        "redirect_uri": settings.public_url + CALLBACK,
        "code_verifier": started.verifier,
    }
    secret = settings.oidc_client_secret.get_secret_value()
    signed = httpx.BasicAuth(settings.oidc_client_id, secret) if secret else httpx.USE_CLIENT_DEFAULT
    if not secret:
        fields["client_id"] = settings.oidc_client_id

    async def redeem(client: httpx.AsyncClient) -> str:
        endpoint = await discovered(client, settings.oidc_issuer, "token_endpoint")
        try:
            return str((await document(client, "POST", endpoint, data=fields, auth=signed))["id_token"])
        except httpx.HTTPStatusError as error:
            if error.response.is_client_error:
                raise FlowError(f"the issuer gave no token ({error.response.status_code})") from None
            raise

    return _asked(redeem)


def _asked(conversation: Callable[[httpx.AsyncClient], Awaitable[str]]) -> str:
    with _SIGNING_IN.entered():
        return ask(conversation)
