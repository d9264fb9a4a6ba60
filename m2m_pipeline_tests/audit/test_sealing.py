"""Sealing: everything that was committed has one link, whoever writes and seals at once, and whoever dies of it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import stamina
from psycopg.sql import SQL, Identifier
from sqlalchemy import Connection, make_url, text

from m2m_pipeline.domain.audit_chain import FIELDS
from m2m_pipeline.services.audit import sealing
from m2m_pipeline.storage.database import DatabaseUnavailableError
from m2m_pipeline.storage.schema.records import AuditEntry
from m2m_pipeline_tests.audit.log import NAMES, Log
from m2m_pipeline_tests.writer import writer_role

WRITERS, SEALERS, ROUNDS = 4, 3, 12

_ENTRY = "INSERT INTO m2m.audit_entry (tenant_id, kind, actor, outcome) VALUES (%s, 'CARRIER_CALL', 'x', 'APPLIED')"


def links(log: Log) -> tuple[int, int]:
    """Entries, and links to different entries."""
    with log.owner() as owner:
        row = owner.execute(
            "SELECT (SELECT count(*) FROM m2m.audit_entry), (SELECT count(DISTINCT entry_id) FROM m2m.audit_link)"
        ).fetchone()
    assert row is not None
    return row


def test_every_column_of_an_entry_goes_into_its_link() -> None:
    assert set(FIELDS) == {column.name for column in AuditEntry.__table__.columns} - {"tenant_id"}


def test_writers_and_sealers_at_once_leave_one_whole_chain(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "PAGE", 7)
    done = threading.Event()

    def write(number: int) -> None:
        for turn in range(ROUNDS):
            with log.owner() as owner:
                for _ in range(1 + (number + turn) % 5):
                    owner.execute(_ENTRY, (1 + (number + turn) % len(NAMES),))
                if turn % 4 == 3:
                    owner.rollback()  # leaves a gap in the ids

    def seal() -> None:
        while not done.is_set():
            log.auditing.seal()

    with ThreadPoolExecutor(WRITERS + SEALERS) as pool:
        sealers = [pool.submit(seal) for _ in range(SEALERS)]
        writers = [pool.submit(write, number) for number in range(WRITERS)]
        for writer in writers:
            writer.result(60)
        done.set()
        for sealer in sealers:
            sealer.result(60)
    log.auditing.seal()

    entries, linked = links(log)
    assert entries == linked > ROUNDS
    assert all(one.holds and one.unsealed == 0 for one in log.auditing.verify())


def test_an_entry_that_is_committed_after_younger_ones_were_sealed_is_sealed_too(log: Log) -> None:
    with log.owner() as slow:
        slow.execute(_ENTRY, (1,))
        with log.owner() as quick:
            for _ in range(6):
                quick.execute(_ENTRY, (1,))
        assert log.auditing.seal() == 6
        assert log.auditing.seal() == 0
    assert log.auditing.seal() == 1

    assert all(one.holds and one.unsealed == 0 for one in log.auditing.verify())


def test_a_look_does_not_begin_at_the_first_entry_again(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "PAGE", 10)
    log.write(40)  # of days ago
    log.auditing.seal()
    looks: list[int] = []
    find_end = sealing.audit_chain.find_end

    def noted(connection: Connection, after: int, most: int) -> int | None:
        looks.append(after)
        return find_end(connection, after, most)

    monkeypatch.setattr(sealing.audit_chain, "find_end", noted)

    log.auditing.seal()

    assert looks == [40]


def test_what_an_open_transaction_of_yesterday_commits_is_found_by_verifying(log: Log) -> None:
    """No transaction of ours lasts so long; a person's might."""
    log.write(3)
    with log.owner() as owner:
        owner.execute("SELECT setval('m2m.audit_entry_id_seq', 100)")
    log.write(10)
    log.auditing.seal()
    with log.owner() as owner:
        owner.execute(
            "INSERT INTO m2m.audit_entry (id, tenant_id, kind, actor, outcome) VALUES (50, 1, 'CARRIER_CALL', 'x', 'y')"
        )
    assert log.auditing.seal() == 0

    assert [one.unsealed for one in log.auditing.verify()] == [0, 0]


def test_a_sealer_that_dies_in_the_middle_leaves_nothing_half(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "PAGE", 5)
    log.write(20)
    insert, pages = sealing.audit_chain.insert_links, iter(range(100))

    def die_after_the_second(connection: Connection, at: str, chained: list[tuple[int, int, int, bytes]]) -> None:
        insert(connection, at, chained)
        if next(pages) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(sealing.audit_chain, "insert_links", die_after_the_second)
    with pytest.raises(KeyboardInterrupt):
        log.auditing.seal()
    assert links(log) == (20, 5)

    assert log.auditing.seal() == 15
    assert all(one.holds for one in log.auditing.verify())


def test_a_connection_that_breaks_while_links_are_stored_is_an_error_that_is_tried_again(log: Log) -> None:
    log.write(4)
    broken: list[str] = []
    insert = sealing.audit_chain.insert_links

    def break_once(connection: Connection, sealed_at: str, chained: list[tuple[int, int, int, bytes]]) -> None:
        if not broken:
            with log.owner() as owner:
                pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
                broken.append(str(owner.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,)).fetchone()))
        insert(connection, sealed_at, chained)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealing.audit_chain, "insert_links", break_once)
        assert log.auditing.seal() == 4
    assert broken


def test_entries_and_links_cannot_be_changed_removed_or_emptied_while_the_triggers_are_on(log: Log) -> None:
    log.write(2)
    log.auditing.seal()
    for table in ("audit_entry", "audit_link"):
        for statement in (f"UPDATE m2m.{table} SET tenant_id = 2", f"DELETE FROM m2m.{table}", f"TRUNCATE m2m.{table}"):
            with (
                pytest.raises(psycopg.errors.InsufficientPrivilege, match=f"m2m.{table} is append-only"),
                log.owner() as owner,
            ):
                owner.execute(statement.encode())


def test_the_documented_role_writes_and_seals_and_can_do_no_more(log: Log) -> None:
    with writer_role(log.url) as role:
        with log.owner() as session:
            session.execute(f"SET ROLE {role}".encode())
            session.execute(_ENTRY, (1,))
            session.execute("INSERT INTO m2m.audit_link SELECT 1, 1, max(id), now(), sha256('') FROM m2m.audit_entry")
        for table in ("audit_entry", "audit_link"):
            for statement in (
                f"UPDATE m2m.{table} SET tenant_id = 2",
                f"DELETE FROM m2m.{table}",
                f"TRUNCATE m2m.{table}",
                f"ALTER TABLE m2m.{table} DISABLE TRIGGER append_only",
                f"DROP TABLE m2m.{table}",
                "CREATE OR REPLACE FUNCTION m2m.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
                "SET session_replication_role = replica",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege), log.owner() as session:
                    session.execute(f"SET ROLE {role}; {statement}".encode())


def test_a_database_that_only_reads_is_one_that_is_away_and_its_connection_is_not_used_again(log: Log) -> None:
    log.write(3)
    name = make_url(log.url).database
    with log.owner() as owner:
        owner.execute(SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(Identifier(str(name))))
    log.database.dispose()  # a session keeps what held when it began
    with pytest.raises(DatabaseUnavailableError), stamina.set_testing(testing=True, attempts=1):
        log.auditing.seal()
    with log.owner() as owner:
        owner.execute("SET TRANSACTION READ WRITE")
        owner.execute(SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(Identifier(str(name))))

    assert log.auditing.seal() == 3
