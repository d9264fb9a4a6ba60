"""Transactions: whole or not at all, and an error that says whether trying again helps."""

import pytest
import stamina
from sqlalchemy import text

from m2m_pipeline.domain.attempt import Attempt, LeaseLostError
from m2m_pipeline.local.ports import free_port
from m2m_pipeline.storage import accounts
from m2m_pipeline.storage.database import Database, DatabaseUnavailableError, retrying_transient
from m2m_pipeline_tests.storage.conftest import Stock


def test_a_transaction_that_ends_in_an_error_leaves_nothing(stock: Stock) -> None:
    def fail() -> None:
        with stock.database.begin() as tx:
            accounts.ensure_tenant(tx, "half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with stock.database.begin() as tx:
        assert accounts.find_tenant(tx, "half") is None


def test_a_database_that_is_not_there_is_unavailable_and_tells_no_password() -> None:
    database = Database(f"postgresql+psycopg://m2m:s3cret@127.0.0.1:{free_port()}/m2m")
    with pytest.raises(DatabaseUnavailableError) as unavailable, database.begin():
        pass
    assert "s3cret" not in str(unavailable.value)
    assert "M2M_DATABASE_URL" in str(unavailable.value)


def test_a_connection_that_is_cut_is_unavailable_and_the_next_one_works(stock: Stock) -> None:
    def be_cut() -> None:
        with stock.database.begin() as tx:
            accounts.ensure_tenant(tx, "half")
            tx.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(DatabaseUnavailableError):
        be_cut()
    with stock.database.begin() as tx:
        assert accounts.find_tenant(tx, "half") is None


def test_a_server_that_only_reads_is_unavailable_and_none_of_its_connections_is_used_again(stock: Stock) -> None:
    """As after a failover, where the pool's connections lead to what is the standby now."""

    def write() -> None:
        with stock.database.begin() as tx:
            tx.execute(text("SET TRANSACTION READ ONLY"))
            accounts.ensure_tenant(tx, "half")

    with stock.database.begin() as one, stock.database.begin() as other:
        before = {one.execute(text("SELECT pg_backend_pid()")).scalar_one() for one in (one, other)}
    with pytest.raises(DatabaseUnavailableError, match="ReadOnlySqlTransaction"):
        write()
    with stock.database.begin() as one, stock.database.begin() as other:
        after = {one.execute(text("SELECT pg_backend_pid()")).scalar_one() for one in (one, other)}
        assert accounts.find_tenant(one, "half") is None
    assert not before & after


def test_an_idle_connection_that_was_cut_is_not_noticed(stock: Stock) -> None:
    with stock.database.begin() as tx:
        pid = tx.execute(text("SELECT pg_backend_pid()")).scalar_one()
    other = Database(stock.database.engine.url.render_as_string(hide_password=False))
    with other.begin() as tx:
        tx.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    other.dispose()
    with stock.database.begin() as tx:
        assert tx.execute(text("SELECT 1")).scalar_one() == 1


def test_times_are_utc_whatever_the_machine_says(stock: Stock) -> None:
    with stock.database.begin() as tx:
        assert tx.execute(text("SHOW timezone")).scalar_one() == "UTC"


def test_statements_and_locks_do_not_wait_for_ever(stock: Stock) -> None:
    with stock.database.begin() as tx:
        for setting in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            assert tx.execute(text(f"SHOW {setting}")).scalar_one() != "0"


def test_a_fence_over_nothing_is_a_lost_lease(stock: Stock) -> None:
    with pytest.raises(LeaseLostError), stock.database.fenced(Attempt(4711, 1, 1, "run-1")):
        pass


def test_what_is_said_of_a_retry_names_no_sim(caplog: pytest.LogCaptureFixture) -> None:
    turns: list[str] = []

    @retrying_transient
    def work(iccid: str) -> None:
        turns.append(iccid)
        if len(turns) == 1:
            raise DatabaseUnavailableError("It is away.")

    with stamina.set_testing(True, attempts=2):
        work("8988216716970000001")
    assert "again in" in caplog.text
    assert "It is away." in caplog.text
    assert "8988216716970000001" not in caplog.text
