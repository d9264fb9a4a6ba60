"""A change of encryption keys: nothing is lost on the way, and afterwards the old key opens nothing."""

import pytest

from m2m_pipeline.domain.notices import DestinationKind
from m2m_pipeline.services import rotation
from m2m_pipeline.services.rotation import Rotated, Rotation
from m2m_pipeline.storage import sealed
from m2m_pipeline.storage.database import Database
from m2m_pipeline.storage.sealed import SEALED
from m2m_pipeline.storage.vault import Vault
from m2m_pipeline_tests.storage.test_vault import new_key
from m2m_pipeline_tests.world import TENANT, World

SECRETS = 12


@pytest.fixture
def stored(world: World) -> World:
    """A carrier credential and webhooks, one of them with two secrets."""
    for number in range(SECRETS - 2):
        url = f"https://hooks.example.com/{number}"
        world.services.destinations.store(TENANT, DestinationKind.WEBHOOK, url, f"secret-number-{number:04}", "test")
    world.services.destinations.store(
        TENANT, DestinationKind.WEBHOOK, "https://hooks.example.com/0", "the-newest-secret", "test"
    )
    return world


def test_afterwards_only_the_new_key_is_needed(stored: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "BATCH", 3)
    new = new_key()
    both = stored.application(keys=[new, stored.key])
    assert both.rotation.rotate() == Rotated(renewed=SECRETS)
    assert both.rotation.rotate() == Rotated(newest_already=SECRETS)
    both.close()

    alone = stored.application(keys=[new])
    assert alone.rotation.rotate() == Rotated(newest_already=SECRETS)
    found = {alone.destinations.opened(one).secrets for one in alone.destinations.list_all(TENANT)}
    assert ("the-newest-secret", "secret-number-0000") in found
    assert len(found) == SECRETS - 2
    alone.close()


def test_one_that_was_interrupted_is_said_again(stored: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "BATCH", 4)
    replaced = sealed.replace
    calls = iter(range(7))

    def stops(*arguments: object) -> None:
        next(calls)  # StopIteration in the middle of a batch
        replaced(*arguments)  # pyright: ignore[reportArgumentType] -- handed through

    new, database = new_key(), Database(stored.database_url)
    vault = Vault([new, stored.key])
    with monkeypatch.context() as patch:
        patch.setattr(sealed, "replace", stops)
        with pytest.raises(StopIteration):
            Rotation(database, vault).rotate()
    done = Rotation(database, vault).rotate()
    database.dispose()

    assert done.newest_already == 5, "the credential, and the first batch of webhooks"
    assert done.renewed == SECRETS - 5


def test_what_no_key_opens_is_counted_and_stays(stored: World) -> None:
    before = stored.sql("SELECT ciphertext FROM m2m.carrier_credential")
    stranger = stored.application(keys=[new_key()])
    assert stranger.rotation.rotate() == Rotated(unreadable=SECRETS)
    stranger.close()
    assert stored.sql("SELECT ciphertext FROM m2m.carrier_credential") == before


def test_every_binary_column_is_in_the_list_or_known_to_be_no_secret(world: World) -> None:
    """A new sealed column must not be forgotten."""
    found = world.sql(
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE table_schema = 'm2m' AND data_type = 'bytea'"
    )
    digests = {("api_key", "digest"), ("page_session", "digest"), ("audit_link", "hash")}
    assert {(one.table, one.column) for one in SEALED} == {(str(table), str(name)) for table, name in found} - digests
