"""Carrier credentials: sealed in our database, or a reference to a secret kept elsewhere."""

from dataclasses import dataclass

from sqlalchemy import Connection

from m2m_pipeline.domain.accounts import Credential, ServiceProvider
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.secrets import SecretReader, SecretReference, SecretUnavailableError
from m2m_pipeline.services.execution.access import Denied
from m2m_pipeline.storage import accounts
from m2m_pipeline.storage.database import Database
from m2m_pipeline.storage.vault import CredentialUnreadableError, Vault


@dataclass(frozen=True, slots=True)
class Credentials:
    """Keeps them, and gives them in clear at the moment of signing in: nothing of them is remembered."""

    database: Database
    vault: Vault
    read_secret: SecretReader

    def store(
        self, connection: Connection, provider: ServiceProvider, username: str, api_key: str | SecretReference
    ) -> None:
        """Replace the provider's credential.

        Raises:
            EncryptionKeyError: no key is configured to seal an API key with.

        """
        kept = api_key if isinstance(api_key, SecretReference) else self.vault.seal(provider.id, api_key)
        accounts.store_credential(connection, provider, username, kept)

    def load(self, provider: ServiceProvider) -> Credential | Denied:
        """The provider's credential in clear, or why there is none. Waits for a secret store that is slow to answer.

        Raises:
            EncryptionKeyError: no key is configured.

        """
        with self.database.begin() as tx:
            stored = accounts.find_credential(tx, provider.id)
        if stored is None:
            return Denied(ReasonCode.CREDENTIAL_MISSING, f'Service provider "{provider.name}" has no credential.')
        username, kept = stored
        try:
            if isinstance(kept, SecretReference):
                return Credential(username, self.read_secret(kept))
            return Credential(username, self.vault.open(provider.id, kept))
        except CredentialUnreadableError:
            message = f'The credential of "{provider.name}" cannot be decrypted with the keys that are set.'
            return Denied(ReasonCode.CREDENTIAL_UNREADABLE, message)
        except SecretUnavailableError as error:
            reason = (
                ReasonCode.CREDENTIAL_STORE_UNREACHABLE if error.retry_helps else ReasonCode.CREDENTIAL_REFERENCE_BROKEN
            )
            return Denied(reason, f'The credential of "{provider.name}" cannot be had. {error}')
