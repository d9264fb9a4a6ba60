"""Where the notices of a tenant go, and those of the operators."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from m2m_pipeline.domain.audit import AuditKind
from m2m_pipeline.domain.notices import Destination, DestinationKind, ForbiddenAddressError
from m2m_pipeline.storage import accounts, audit, destinations
from m2m_pipeline.storage.database import Database
from m2m_pipeline.storage.destinations import StoredDestination
from m2m_pipeline.storage.vault import Vault

OPERATORS = "(operators)"
"""The tenant in whose audit log stands what was changed of the operators' destinations."""
SHORTEST_SECRET = 16
REMOVED = "Its destination was removed."


class DestinationRejectedError(ValueError):
    """The destination does not hold; nothing was stored. The message says why."""


class DestinationUnknownError(Exception):
    """The tenant has no such destination."""

    def __init__(self, destination_id: int) -> None:
        super().__init__(
            f"There is no destination {destination_id} for this tenant. Trying again does not help; see "
            "`m2m webhook list`, and --tenant or --operators."
        )


@dataclass(frozen=True, slots=True)
class Stored:
    """A destination that was added or changed; `secret` where one was made here: it is shown this once."""

    destination: Destination
    secret: str | None = field(default=None, repr=False)


class Destinations:
    """Everywhere, a `tenant_name` of None means the operators of the platform."""

    def __init__(self, database: Database, vault: Vault, check_url: Callable[[str], None]) -> None:
        """`check_url` raises ForbiddenAddressError for an address that no webhook may have."""
        self._database = database
        self._vault = vault
        self._check_url = check_url

    def store(
        self, tenant_name: str | None, kind: DestinationKind, address: str, secret: str | None, actor: str
    ) -> Stored:
        """Add a destination; a webhook that is there already gets the secret beside its present one: both sign.

        Raises:
            DestinationRejectedError: an address that may not be called, or a secret that is too short.
            NameRefusedError: the tenant is new, and none may be called so.
            EncryptionKeyError: no key is configured.

        """
        self._check(kind, address, secret)
        made = secrets.token_urlsafe(32) if kind is DestinationKind.WEBHOOK and secret is None else None
        with self._database.begin() as tx:
            tenant_id = accounts.ensure_tenant(tx, tenant_name).id if tenant_name is not None else None
            known = destinations.find_address(tx, tenant_id, kind, address)
            new_secret = secret or made if kind is DestinationKind.WEBHOOK else None
            destination_id = known.id if known else destinations.next_id(tx)
            sealed = (self._vault.seal(owner_name(destination_id), new_secret),) if new_secret else ()
            stored = StoredDestination(destination_id, tenant_id, kind, address, sealed)
            if known is None:
                destinations.insert(tx, stored)
            elif sealed:
                destinations.rotate(tx, known.id, sealed[0])
            self._note(tx, stored, "STORED", actor)
        return Stored(Destination(destination_id, tenant_id, kind, address), made)

    def retire_previous_secret(self, tenant_name: str | None, destination_id: int, actor: str) -> None:
        """From now on only the newest secret signs.

        Raises:
            DestinationUnknownError: the tenant has none of that id.

        """
        with self._database.begin() as tx:
            found = next((one for one in self._list(tx, tenant_name) if one.id == destination_id), None)
            if found is None:
                raise DestinationUnknownError(destination_id)
            destinations.retire(tx, destination_id)
            self._note(tx, found, "PREVIOUS_SECRET_RETIRED", actor)

    def remove(self, tenant_name: str | None, destination_id: int, actor: str) -> None:
        """Remove a destination; what waited for it is given up.

        Raises:
            DestinationUnknownError: the tenant has none of that id.

        """
        with self._database.begin() as tx:
            found = next((one for one in self._list(tx, tenant_name) if one.id == destination_id), None)
            if found is None or not destinations.remove(tx, found.tenant_id, destination_id, REMOVED):
                raise DestinationUnknownError(destination_id)
            self._note(tx, found, "REMOVED", actor)

    def list_all(self, tenant_name: str | None) -> Sequence[StoredDestination]:
        """The destinations by id."""
        with self._database.begin() as tx:
            return self._list(tx, tenant_name)

    def find(self, tenant_name: str | None, destination_id: int) -> Destination:
        """The destination with its secrets in clear.

        Raises:
            DestinationUnknownError: the tenant has none of that id.
            CredentialUnreadableError: its secret cannot be decrypted with the keys that are set.

        """
        found = next((one for one in self.list_all(tenant_name) if one.id == destination_id), None)
        if found is None:
            raise DestinationUnknownError(destination_id)
        return self.opened(found)

    def opened(self, stored: StoredDestination) -> Destination:
        """The destination with its secrets in clear.

        Raises:
            CredentialUnreadableError: a secret cannot be decrypted with the keys that are set.

        """
        clear = tuple(self._vault.open(owner_name(stored.id), one) for one in stored.sealed)
        return Destination(stored.id, stored.tenant_id, stored.kind, stored.address, clear)

    def _check(self, kind: DestinationKind, address: str, secret: str | None) -> None:
        if kind is DestinationKind.WEBHOOK:
            try:
                self._check_url(address)
            except ForbiddenAddressError as error:
                raise DestinationRejectedError(
                    f"The webhook's address is refused: {error} Nothing was stored."
                ) from error
        if kind is DestinationKind.EMAIL and ("@" not in address or any(one.isspace() for one in address)):
            raise DestinationRejectedError("The e-mail address is none. Nothing was stored.")
        if secret is not None and len(secret) < SHORTEST_SECRET:
            raise DestinationRejectedError(
                f"The secret has {len(secret)} characters; it must have {SHORTEST_SECRET} at least. Nothing was stored."
            )

    @staticmethod
    def _list(tx: Connection, tenant_name: str | None) -> Sequence[StoredDestination]:
        if tenant_name is None:
            return destinations.list_all(tx, None)
        tenant = accounts.find_tenant(tx, tenant_name)
        return destinations.list_all(tx, tenant.id) if tenant else []

    @staticmethod
    def _note(tx: Connection, stored: StoredDestination, outcome: str, actor: str) -> None:
        owner = accounts.ensure_tenant(tx, OPERATORS).id if stored.tenant_id is None else stored.tenant_id
        audit.write(
            tx,
            AuditKind.DESTINATION_CHANGED,
            tenant_id=owner,
            actor=actor,
            outcome=outcome,
            request={"destination": stored.id, "kind": stored.kind.value, "address": stored.address},
        )


def owner_name(destination_id: int) -> str:
    """Whose secret it is, as the vault binds it."""
    return f"notice_destination/{destination_id}"
