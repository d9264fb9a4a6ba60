"""One run at a time owns a bulk change, and only its owner writes."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import text

from m2m_pipeline.domain.attempt import Attempt, LeaseLostError
from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline.storage import bulk_changes, device_changes, leases
from m2m_pipeline_tests.storage.conftest import Stock


def test_work_is_the_time_under_a_lease_and_not_the_time_between_two(stock: Stock) -> None:
    bulk_change_id = stock.record()

    def work(attempt: Attempt | None, seconds: int) -> float:
        """Work so long, as the row has it, and count a call; the seconds that are counted in all."""
        assert attempt is not None
        with stock.database.fenced(attempt) as tx:
            tx.execute(text(f"UPDATE m2m.bulk_change SET work_counted_at = work_counted_at - interval '{seconds} s'"))
            bulk_changes.count_calls(tx, attempt, 1)
            change = bulk_changes.find(tx, bulk_change_id)
            assert change is not None
            return change.work_seconds

    first = stock.claim(bulk_change_id, "run-1")
    assert work(first, 100) == pytest.approx(100, abs=5)
    assert work(stock.claim(bulk_change_id, "run-1"), 30) == pytest.approx(130, abs=5)
    stock.expire(bulk_change_id)
    with stock.database.begin() as tx:  # as if it had died an hour ago
        tx.execute(text("UPDATE m2m.bulk_change SET work_counted_at = work_counted_at - interval '1 hour'"))
    assert work(stock.claim(bulk_change_id, "run-2"), 10) == pytest.approx(140, abs=5)


def test_of_many_claimers_one_wins(stock: Stock) -> None:
    bulk_change_id = stock.record()
    start = Barrier(8)

    def claim(number: int) -> Attempt | None:
        start.wait()
        return stock.claim(bulk_change_id, f"run-{number}")

    with ThreadPoolExecutor(8) as pool:
        attempts = [attempt for attempt in pool.map(claim, range(8)) if attempt]
    (winner,) = attempts
    assert winner.token == 1


def test_the_owner_renews_and_keeps_its_token(stock: Stock) -> None:
    bulk_change_id = stock.record()
    first = stock.claim(bulk_change_id)
    again = stock.claim(bulk_change_id)
    assert first is not None
    assert first == again
    with stock.database.begin() as tx:
        assert leases.renew(tx, first, 60)


def test_an_owner_whose_lease_ran_out_goes_on_if_nobody_took_it(stock: Stock) -> None:
    bulk_change_id = stock.record()
    first = stock.claim(bulk_change_id)
    stock.expire(bulk_change_id)
    assert stock.claim(bulk_change_id) == first


def test_a_lease_that_is_held_is_not_to_be_had(stock: Stock) -> None:
    bulk_change_id = stock.record()
    assert stock.claim(bulk_change_id, "run-1")
    assert stock.claim(bulk_change_id, "run-2") is None


def test_a_lease_that_ran_out_goes_to_the_next_and_the_old_owner_writes_nothing(stock: Stock) -> None:
    bulk_change_id = stock.record()
    old = stock.claim(bulk_change_id, "run-1")
    stock.expire(bulk_change_id)
    new = stock.claim(bulk_change_id, "run-2")
    assert old is not None
    assert new is not None
    assert new.token > old.token

    with pytest.raises(LeaseLostError, match="Nothing was written"), stock.database.fenced(old) as tx:
        device_changes.mark_sending(tx, stock.ids(bulk_change_id))
    assert stock.statuses(bulk_change_id) == ["PENDING"] * 3
    with stock.database.begin() as tx:
        assert not leases.renew(tx, old, 60)
    with stock.database.fenced(new) as tx:
        device_changes.mark_sending(tx, stock.ids(bulk_change_id))
    assert stock.statuses(bulk_change_id) == ["SENDING"] * 3


def test_a_lease_that_is_given_back_is_free_at_once_and_its_token_is_spent(stock: Stock) -> None:
    bulk_change_id = stock.record()
    old = stock.claim(bulk_change_id, "run-1")
    assert old is not None
    with stock.database.begin() as tx:
        leases.release(tx, "run-1")
    new = stock.claim(bulk_change_id, "run-2")
    assert new is not None
    with pytest.raises(LeaseLostError), stock.database.fenced(old):
        pass


def test_a_run_gives_back_nobody_elses_lease(stock: Stock) -> None:
    bulk_change_id = stock.record()
    assert stock.claim(bulk_change_id, "run-1")
    with stock.database.begin() as tx:
        leases.release(tx, "run-2")
    assert stock.claim(bulk_change_id, "run-2") is None


def test_nobody_takes_the_lease_while_its_owner_writes(stock: Stock) -> None:
    bulk_change_id = stock.record()
    attempt = stock.claim(bulk_change_id)
    assert attempt is not None
    stock.expire(bulk_change_id)
    with ThreadPoolExecutor(1) as pool:
        with stock.database.fenced(attempt) as tx:
            taken = pool.submit(stock.claim, bulk_change_id, "run-2")
            device_changes.mark_sending(tx, stock.ids(bulk_change_id))
            while not tx.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one():
                assert not taken.done(), "it was taken under the owner's hands"
        assert taken.result(timeout=10) is not None
    assert stock.statuses(bulk_change_id) == ["SENDING"] * 3


def test_a_run_whose_attempt_was_given_up_neither_writes_nor_takes_the_next_attempt(stock: Stock) -> None:
    bulk_change_id = stock.record()
    old = stock.claim(bulk_change_id, "run-1")
    assert old is not None
    stock.expire(bulk_change_id)
    with stock.database.begin() as tx:
        stranded = leases.lock_stranded(tx, 0)
        assert stranded is not None
        assert leases.queue_next_attempt(tx, stranded)

    assert stock.claim(bulk_change_id, "run-1") is None
    with pytest.raises(LeaseLostError), stock.database.fenced(old):
        pass
    with stock.database.begin() as tx:
        assert not leases.renew(tx, old, 60)
        leases.release(tx, "run-1")
    assert stock.claim(bulk_change_id, "run-1") is None
    new = stock.claim(bulk_change_id, "run-2")
    assert new is not None
    assert new.token > old.token
    assert stock.claim(bulk_change_id, "run-1") is None


def test_an_ended_bulk_change_has_no_owner(stock: Stock) -> None:
    bulk_change_id = stock.record()
    attempt = stock.claim(bulk_change_id)
    assert attempt is not None
    with stock.database.fenced(attempt) as tx:
        bulk_changes.end(tx, attempt.bulk_change_id, BulkChangeStatus.PROCESSED)
    assert stock.claim(bulk_change_id) is None
    with pytest.raises(LeaseLostError), stock.database.fenced(attempt):
        pass


def test_a_bulk_change_is_queued_once(stock: Stock) -> None:
    bulk_change_id = stock.record()
    with stock.database.begin() as tx:
        assert not bulk_changes.queue(tx, bulk_change_id)
    with stock.database.begin() as tx:
        change = bulk_changes.find(tx, bulk_change_id)
    assert change is not None
    assert change.attempt == 1
