"""Who signs digests, and whose signatures are believed: Ed25519, so that whoever can check one cannot make one."""

import json
from collections.abc import Sequence
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from m2m_pipeline.domain.digests import Digest

_KEY_BYTES = 32


class SigningKeyError(ValueError):
    """A configured key is none, or none is configured. The message says which and what helps."""


class UnsignedError(ValueError):
    """A file is no digest that one of the believed keys has signed."""


def generate() -> tuple[str, str]:
    """A new key: the secret that signs, and the public half that checks, both in hex."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes_raw().hex(), key.public_key().public_bytes_raw().hex()


class Signatures:
    """The key that signs, if this process has one, and all keys that are believed."""

    def __init__(self, signing_key: str, public_keys: Sequence[str]) -> None:
        """Read the keys: 32 bytes each, in hex. The public half of `signing_key` (none, if empty) is believed too.

        Raises:
            SigningKeyError: one of them is no such key.

        """
        self._key = None
        if signing_key:
            self._key = Ed25519PrivateKey.from_private_bytes(_read("M2M_AUDIT_SIGNING_KEY", signing_key))
        believed = [Ed25519PublicKey.from_public_bytes(_read("M2M_AUDIT_PUBLIC_KEYS", key)) for key in public_keys]
        if self._key:
            believed.append(self._key.public_key())
        self._believed = {key_id(key.public_bytes_raw()): key for key in believed}

    @property
    def public_keys(self) -> dict[str, str]:
        """The believed keys in hex, by their ids."""
        return {name: key.public_bytes_raw().hex() for name, key in self._believed.items()}

    def sign(self, digest: Digest) -> bytes:
        """The file of a digest: its statement in one line, key and signature in another.

        Raises:
            SigningKeyError: this process has no key.

        """
        if self._key is None:
            raise SigningKeyError(
                "No digest of the audit log was written: nothing signs it. Trying again does not help: set "
                "M2M_AUDIT_SIGNING_KEY; `m2m audit key` makes one."
            )
        statement = digest.statement()
        name = key_id(self._key.public_key().public_bytes_raw())
        seal = json.dumps({"key": name, "signature": self._key.sign(statement).hex()})
        return statement + b"\n" + seal.encode() + b"\n"

    def read(self, content: bytes) -> Digest:
        """The digest that a file holds.

        Raises:
            UnsignedError: it is none, or its signature is not that of a believed key.

        """
        statement, _, seal = content.partition(b"\n")
        try:
            fields = json.loads(seal)
            name, signature = str(fields["key"]), bytes.fromhex(fields["signature"])
            if name in self._believed:
                self._believed[name].verify(signature, statement)
                return Digest.from_statement(statement)
        except (InvalidSignature, ValueError, KeyError, TypeError) as error:
            raise UnsignedError("is not what was signed") from error
        raise UnsignedError(f"was signed with the key {name[:16]}, which M2M_AUDIT_PUBLIC_KEYS does not have")


def key_id(public_key: bytes) -> str:
    """By what a digest names the key that signed it."""
    return sha256(public_key).hexdigest()[:16]


def _read(setting: str, key: str) -> bytes:
    try:
        content = bytes.fromhex(key)
    except ValueError:
        content = b""
    if len(content) != _KEY_BYTES:
        raise SigningKeyError(
            f"{setting}: a key has {_KEY_BYTES} bytes in hex ({2 * _KEY_BYTES} characters); one of the given has not. "
            "Trying again does not help: `m2m audit key` makes a pair."
        )
    return content
