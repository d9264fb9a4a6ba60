"""Carrier credentials at rest: encrypted with the newest key, readable with any key still listed."""

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from m2m_pipeline.domain.reasons import REASONS, ReasonCode


class CredentialUnreadableError(Exception):
    """A stored credential cannot be decrypted with the configured keys."""


class EncryptionKeyError(Exception):
    """No encryption key, or not a Fernet key."""


class Vault:
    """Encrypts and decrypts. The plaintext names its owner, so that a ciphertext moved to another row is refused."""

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys]) if keys else None
        except ValueError:
            message = (
                "M2M_ENCRYPTION_KEYS: one of the keys is not a Fernet key (32 bytes, url-safe base64, 44 characters). "
                "Retrying does not help; make one with `m2m key generate`."
            )
            raise EncryptionKeyError(message) from None

    def seal(self, provider_id: int, secret: str) -> bytes:
        """Encrypt the secret of a service provider.

        Raises:
            EncryptionKeyError: no key is configured.

        """
        return self._keys().encrypt(f"{provider_id}:{secret}".encode())

    def open(self, provider_id: int, ciphertext: bytes) -> str:
        """Decrypt the secret of a service provider.

        Raises:
            EncryptionKeyError: no key is configured.
            CredentialUnreadableError: no configured key fits, or the ciphertext belongs to another provider.

        """
        try:
            owner, _, secret = self._keys().decrypt(ciphertext).decode().partition(":")
        except InvalidToken:
            owner, secret = "", ""
        if owner != str(provider_id):
            raise CredentialUnreadableError(REASONS[ReasonCode.CREDENTIAL_UNREADABLE].next_step)
        return secret

    def _keys(self) -> MultiFernet:
        if self._fernet is None:
            message = (
                "M2M_ENCRYPTION_KEYS is not set: carrier credentials can be neither stored nor read. "
                "Retrying does not help; make a key with `m2m key generate` and set the variable."
            )
            raise EncryptionKeyError(message)
        return self._fernet
