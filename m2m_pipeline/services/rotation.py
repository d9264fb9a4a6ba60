"""A change of encryption keys: everything is sealed with the newest key, while services go on reading."""

from dataclasses import dataclass

from m2m_pipeline.storage import sealed
from m2m_pipeline.storage.database import Database
from m2m_pipeline.storage.sealed import SEALED, SealedColumn
from m2m_pipeline.storage.vault import CredentialUnreadableError, Vault

BATCH = 100


@dataclass(slots=True)
class Rotated:
    """What a rotation came to, in secrets. Where none is unreadable, the older keys can be dropped."""

    renewed: int = 0
    newest_already: int = 0
    unreadable: int = 0


class Rotation:
    """Goes through every sealed column, a hundred rows a commit: killed anywhere, the next one does the rest."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    def rotate(self) -> Rotated:
        """Seal everything with the newest key. What no key opens stays as it is, and is counted.

        Raises:
            EncryptionKeyError: no key is configured.
            DatabaseUnavailableError: what was committed before stays; saying it again does the rest.

        """
        done = Rotated()
        for where in SEALED:
            after: int | None = 0
            while after is not None:
                after = self._rotate_batch(where, after, done)
        return done

    def _rotate_batch(self, where: SealedColumn, after: int, done: Rotated) -> int | None:
        """The last row of the batch, or None where there is no more."""
        with self._database.begin() as tx:
            rows = sealed.lock_next(tx, where, after, BATCH)
            for row, ciphertext in rows:
                try:
                    renewed = self._vault.renew(ciphertext)
                except CredentialUnreadableError:
                    done.unreadable += 1
                    continue
                if renewed is None:
                    done.newest_already += 1
                    continue
                sealed.replace(tx, where, row, renewed)
                done.renewed += 1
        return rows[-1][0] if rows else None
