"""What a local installation keeps: its databases, its secrets, its addresses."""

import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from m2m_pipeline.local.databases import Databases, external_databases
from m2m_pipeline.local.errors import LocalServiceError
from m2m_pipeline.local.postgres import EmbeddedPostgres
from m2m_pipeline.local.state import (
    Addresses,
    RunningServices,
    development_digests,
    encryption_keys,
    exclusive,
    running_services,
)
from m2m_pipeline.services.audit.signing import Signatures


def test_the_operators_database_is_used_and_dagsters_made_beside_it(
    monkeypatch: pytest.MonkeyPatch, postgres_server: EmbeddedPostgres, empty_database_url: str
) -> None:
    monkeypatch.delenv("M2M_DAGSTER_DATABASE_URL", raising=False)
    beside = empty_database_url.rpartition("/")[2] + "_dagster"
    try:
        for _time in range(2):
            found = external_databases(empty_database_url.replace("+psycopg", ""))
            assert found == Databases(business=empty_database_url, dagster=postgres_server.dagster_url(beside))
            assert postgres_server.has_database(beside)
    finally:
        postgres_server.drop_database(beside)
    monkeypatch.setenv("M2M_DAGSTER_DATABASE_URL", postgres_server.url("theirs"))
    assert external_databases(empty_database_url).dagster == postgres_server.dagster_url("theirs")


def test_an_unreachable_database_of_the_operator_is_named_without_its_password() -> None:
    with pytest.raises(LocalServiceError, match=r"me:\*\*\*@127.0.0.1:1/mine: no connection") as caught:
        external_databases("postgresql+psycopg://me:secret@127.0.0.1:1/mine")
    assert "secret" not in str(caught.value)


def test_what_the_state_directory_keeps_is_for_its_owner_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("M2M_ENCRYPTION_KEYS", raising=False)
    state = tmp_path / "new"
    services = RunningServices(1, Addresses("a", "b", "c", None), {"M2M_ENCRYPTION_KEYS": "k"})
    assert running_services(state) is None
    with exclusive(state):
        key = encryption_keys(state)
        Fernet(key)
        assert encryption_keys(state) == key
        services.write(state)
        assert running_services(state) == services
        for name in ("encryption.key", "services.json"):
            assert stat.S_IMODE((state / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert not (state / "services.json").exists()
    monkeypatch.setenv("M2M_ENCRYPTION_KEYS", "theirs")
    assert encryption_keys(state) == "theirs"


def test_a_local_installation_signs_with_a_key_of_its_own_and_never_what_is_the_operators(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("M2M_DATABASE_URL", "M2M_AUDIT_DIGEST_TARGET", "M2M_AUDIT_SIGNING_KEY")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    found = development_digests(tmp_path)
    assert found["M2M_AUDIT_DIGEST_TARGET"] == str(tmp_path / "audit-digests")
    assert Signatures(found["M2M_AUDIT_SIGNING_KEY"], ()).public_keys
    assert development_digests(tmp_path) == found
    assert stat.S_IMODE((tmp_path / "audit-signing.key").stat().st_mode) == 0o600
    for name in names:
        with monkeypatch.context() as theirs:
            theirs.setenv(name, "theirs")
            assert development_digests(tmp_path) == {}
