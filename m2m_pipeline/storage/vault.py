"""Credentials at rest: encrypted with the newest key, readable with any key still listed."""

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
            fernets = [Fernet(key) for key in keys]
        except ValueError:
            message = (
                "M2M_ENCRYPTION_KEYS: one of the keys is not a Fernet key (32 bytes, url-safe base64, 44 characters). "
                "Retrying does not help; make one with `m2m key generate`."
            )
            raise EncryptionKeyError(message) from None
        self._newest = fernets[0] if fernets else None
        self._fernet = MultiFernet(fernets) if fernets else None

    def seal(self, owner: int | str, secret: str) -> bytes:
        """Encrypt a secret of `owner`: a service provider's id, or what names another row, without a colon.

        Raises:
            EncryptionKeyError: no key is configured.

        """
        return self._keys().encrypt(f"{owner}:{secret}".encode())

    def open(self, owner: int | str, ciphertext: bytes) -> str:
        """Decrypt a secret of `owner`.

        Raises:
            EncryptionKeyError: no key is configured.
            CredentialUnreadableError: no configured key fits, or the ciphertext belongs to another owner.

        """
        try:
            sealed_for, _, secret = self._keys().decrypt(ciphertext).decode().partition(":")
        except InvalidToken:
            sealed_for, secret = "", ""
        if sealed_for != str(owner):
            raise CredentialUnreadableError(REASONS[ReasonCode.CREDENTIAL_UNREADABLE].next_step)
        return secret

    def renew(self, ciphertext: bytes) -> bytes | None:
        """The same secret, of the same owner, sealed with the newest key; None where it is already.

        Raises:
            EncryptionKeyError: no key is configured.
            CredentialUnreadableError: no configured key fits.

        """
        keys = self._keys()
        assert self._newest is not None
        try:
            self._newest.decrypt(ciphertext)
        except InvalidToken:
            try:
                return keys.rotate(ciphertext)
            except InvalidToken:
                raise CredentialUnreadableError(REASONS[ReasonCode.CREDENTIAL_UNREADABLE].next_step) from None
        return None

    def _keys(self) -> MultiFernet:
        if self._fernet is None:
            message = (
                "M2M_ENCRYPTION_KEYS is not set: carrier credentials can be neither stored nor read. "
                "Retrying does not help; make a key with `m2m key generate` and set the variable."
            )
            raise EncryptionKeyError(message)
        return self._fernet
