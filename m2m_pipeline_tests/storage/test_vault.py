"""Carrier credentials at rest."""

import pytest
from cryptography.fernet import Fernet

from m2m_pipeline.storage.vault import CredentialUnreadableError, EncryptionKeyError, Vault

SECRET = "k3y:with:colons"


def new_key() -> str:
    return Fernet.generate_key().decode()


def test_what_was_sealed_opens_and_cannot_be_read_from_outside() -> None:
    vault = Vault([new_key()])
    sealed = vault.seal(7, SECRET)
    assert vault.open(7, sealed) == SECRET
    assert SECRET.encode() not in sealed


def test_an_old_key_reads_and_the_newest_one_writes() -> None:
    old, new = new_key(), new_key()
    sealed = Vault([old]).seal(7, SECRET)
    both = Vault([new, old])
    assert both.open(7, sealed) == SECRET
    assert Vault([new]).open(7, both.seal(7, SECRET)) == SECRET


def test_a_key_that_is_gone_is_an_error_with_a_name_and_without_the_secret() -> None:
    sealed = Vault([new_key()]).seal(7, SECRET)
    with pytest.raises(CredentialUnreadableError) as unreadable:
        Vault([new_key()]).open(7, sealed)
    assert SECRET not in str(unreadable.value)


def test_a_ciphertext_that_was_moved_to_another_provider_is_refused() -> None:
    vault = Vault([new_key()])
    with pytest.raises(CredentialUnreadableError):
        vault.open(8, vault.seal(7, SECRET))


@pytest.mark.parametrize("damage", [b"", b"x", b"gAAAA"])
def test_a_damaged_ciphertext_is_unreadable(damage: bytes) -> None:
    with pytest.raises(CredentialUnreadableError):
        Vault([new_key()]).open(7, damage)


def test_without_a_key_nothing_is_stored_and_the_setting_is_named() -> None:
    with pytest.raises(EncryptionKeyError, match="M2M_ENCRYPTION_KEYS"):
        Vault([]).seal(7, SECRET)


@pytest.mark.parametrize("key", ["short", "", "ä" * 44, "A" * 44 + "="])
def test_a_text_that_is_no_key_is_named_and_not_repeated(key: str) -> None:
    with pytest.raises(EncryptionKeyError, match="M2M_ENCRYPTION_KEYS") as error:
        Vault([key])
    assert not key or key not in str(error.value)
