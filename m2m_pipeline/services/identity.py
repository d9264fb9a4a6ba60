"""Who somebody is: by an API key, or by the claims of a token that was verified."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from m2m_pipeline.domain.audit import AuditKind
from m2m_pipeline.domain.permissions import Principal, Role
from m2m_pipeline.services.security_log import SecurityLog
from m2m_pipeline.storage import accounts, audit, keys
from m2m_pipeline.storage.database import Database
from m2m_pipeline.storage.keys import ApiKey

KEY_PREFIX = "m2m_"
"""How a key begins, so that it is known for one where it lies about."""
_KEY_BYTES = 32


class SignInFailedError(Exception):
    """The key or token does not hold. The message tells the caller no more than that."""


class KeyUnknownError(Exception):
    """The tenant has no such key, or it was revoked before."""

    def __init__(self, key_id: int) -> None:
        super().__init__(
            f"There is no key {key_id} that holds for this tenant. Nothing was done. Trying again does not help; "
            "check the id."
        )


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key, the one time that it can be read."""

    key: ApiKey
    secret: str = field(repr=False)


class Identity:
    """API keys, and what tokens' claims mean here."""

    def __init__(self, database: Database, log: SecurityLog) -> None:
        self._database = database
        self._log = log

    def create_key(self, tenant_name: str, name: str, role: Role, actor: str) -> IssuedKey:
        """A new key of a tenant (made if it is new), whose secret cannot be had again.

        Raises:
            NameRefusedError: the tenant is new, and none may be called so.

        """
        secret = KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES)
        with self._database.begin() as tx:
            tenant = accounts.ensure_tenant(tx, tenant_name)
            key = keys.insert(tx, tenant.id, name=name, role=role, digest=_digest(secret), created_by=actor)
            told = {"key": key.id, "name": name, "role": role.value}
            audit.write(tx, AuditKind.KEY_CREATED, tenant_id=tenant.id, actor=actor, outcome="STORED", request=told)
        return IssuedKey(key, secret)

    def list_keys(self, tenant_name: str) -> Sequence[ApiKey]:
        """The tenant's keys, the revoked ones too; never a secret."""
        with self._database.begin() as tx:
            tenant = accounts.find_tenant(tx, tenant_name)
            return keys.list_all(tx, tenant.id) if tenant else []

    def revoke_key(self, tenant_name: str, key_id: int, actor: str) -> ApiKey:
        """Have a key hold no more, from the next request on.

        Raises:
            KeyUnknownError: the tenant has none of that id that holds.

        """
        with self._database.begin() as tx:
            tenant = accounts.find_tenant(tx, tenant_name)
            key = keys.revoke(tx, tenant.id, key_id) if tenant else None
            if tenant is None or key is None:
                raise KeyUnknownError(key_id)
            told = {"key": key.id, "name": key.name, "role": key.role.value}
            audit.write(tx, AuditKind.KEY_REVOKED, tenant_id=tenant.id, actor=actor, outcome="REVOKED", request=told)
        return key

    def by_key(self, secret: str) -> Principal:
        """Who holds the key.

        Raises:
            SignInFailedError: it is unknown or revoked; that is in the audit log.

        """
        with self._database.begin() as tx:
            holder = keys.find_holder(tx, _digest(secret))
            if holder and holder.key.revoked_at is None:
                keys.mark_used(tx, holder.key.id)
                return Principal(
                    holder.tenant_id, holder.tenant, f"key:{holder.key.id}:{holder.key.name}", holder.key.role
                )
        actor = f"key:{holder.key.id}:{holder.key.name}" if holder else "key:?"
        message = f"API key {holder.key.id} was revoked." if holder else "No API key is known by what was shown."
        self._log.denied(AuditKind.SIGN_IN_FAILED, actor, message, holder.tenant_id if holder else None)
        raise SignInFailedError

    def by_claims(self, tenant_name: str, role: str, subject: str) -> Principal:
        """Who the bearer of a verified token is.

        Raises:
            SignInFailedError: there is no such tenant, or no such role; that is in the audit log.

        """
        with self._database.begin() as tx:
            tenant = accounts.find_tenant(tx, tenant_name)
        if tenant is None or role not in set(Role):
            message = "The token names no role of ours." if tenant else "The token names no tenant of ours."
            self._log.denied(AuditKind.SIGN_IN_FAILED, f"oidc:{subject}", message, tenant.id if tenant else None)
            raise SignInFailedError
        return Principal(tenant.id, tenant.name, f"oidc:{subject}", Role(role))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
