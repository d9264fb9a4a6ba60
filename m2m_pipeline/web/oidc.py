"""Bearer tokens of an OpenID Connect issuer: verified, never issued."""

import hmac
from typing import Any

import jwt

from m2m_pipeline.domain.audit import AuditKind
from m2m_pipeline.domain.permissions import Principal
from m2m_pipeline.services.identity import Identity, SignInFailedError
from m2m_pipeline.services.security_log import SecurityLog
from m2m_pipeline.settings import Settings
from m2m_pipeline.web.issuer_keys import ALGORITHMS, IssuerKeys

REQUIRED = ("exp", "iss", "aud", "sub")
LEEWAY_SECONDS = 30
MAX_TOKEN_LENGTH = 8_192
MAX_CLAIM_LENGTH = 200


class Tokens:
    """Knows the issuer's keys, and tells of each token whose it is."""

    def __init__(self, settings: Settings, log: SecurityLog) -> None:
        self._settings = settings
        self._log = log
        self._keys = IssuerKeys(settings)

    @property
    def expected(self) -> bool:
        """Whether there is an issuer whose tokens are taken at all."""
        return bool(self._settings.oidc_issuer and self._settings.oidc_audience)

    def verified(self, token: str) -> tuple[str, str, str]:
        """Tenant, role and subject that the token names.

        Raises:
            SignInFailedError: it does not hold; that is in the audit log.
            IssuerAwayError: whether it holds cannot be known now.

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
            IssuerAwayError: whether it holds cannot be known now.

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
        key = self._keys.key(str(header.get("kid")))
        return jwt.decode(
            token,
            key,
            algorithms=[str(header["alg"])] if key.algorithm_name == header["alg"] else [],
            issuer=self._settings.oidc_issuer,
            audience=audience,
            leeway=LEEWAY_SECONDS,
            options={"require": list(REQUIRED)},
        )


class _ClaimError(Exception):
    """A claim that we need is missing, or no short text."""


def _text(claim: object) -> str:
    if not isinstance(claim, str) or not 0 < len(claim) <= MAX_CLAIM_LENGTH or not claim.isprintable():
        raise _ClaimError
    return claim


def _check_nonce(claim: object, sent: str) -> None:
    if not hmac.compare_digest(_text(claim).encode(), sent.encode()):
        raise _ClaimError
