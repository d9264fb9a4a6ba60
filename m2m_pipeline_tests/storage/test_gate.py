"""The budget of an account: one row, by which every process paces its calls."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from sqlalchemy import text

from m2m_pipeline.storage import gate
from m2m_pipeline_tests.storage.conftest import Stock

SPACING = 0.05


def moment(stock: Stock, account: str = "a", calls: int = 1, spacing: float = SPACING) -> float:
    """When the reserved call may leave, by the database's clock."""
    with stock.database.begin() as tx:
        delay = gate.reserve(tx, account, calls, spacing)
        now = tx.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
    return float(now) + float(delay)


def test_reservations_from_many_threads_are_never_denser_than_the_rate(stock: Stock) -> None:
    with ThreadPoolExecutor(4) as pool:
        moments = sorted(pool.map(moment, [stock] * 40))

    assert all(second - first >= SPACING * 0.8 for first, second in pairwise(moments))
    assert moments[-1] - moments[0] >= 39 * SPACING * 0.99
    assert moments[-1] - moments[0] <= 39 * SPACING + 1.0


def test_a_group_takes_the_room_of_its_calls(stock: Stock) -> None:
    first, second = moment(stock, calls=10), moment(stock)
    assert second - first == pytest.approx(10 * SPACING, abs=0.03)


def test_the_first_call_leaves_at_once_and_an_idle_account_saves_nothing_up(stock: Stock) -> None:
    with stock.database.begin() as tx:
        assert gate.reserve(tx, "a", 1, 60.0) == pytest.approx(0, abs=0.01)
        tx.execute(text("UPDATE m2m.carrier_gate SET next_call_at = clock_timestamp() - interval '1 hour'"))
    first, second = moment(stock), moment(stock)
    assert second - first == pytest.approx(SPACING, abs=0.03)


def test_accounts_do_not_wait_for_each_other(stock: Stock) -> None:
    with stock.database.begin() as tx:
        gate.reserve(tx, "a", 1000, 1.0)
        assert gate.reserve(tx, "b", 1, 1.0) == pytest.approx(0, abs=0.01)


def test_a_hold_keeps_everybody_back(stock: Stock) -> None:
    before = moment(stock)
    with stock.database.begin() as tx:
        gate.hold(tx, "a", 5.0)
    assert moment(stock) - before >= 4.9


def test_a_shorter_hold_shortens_nothing(stock: Stock) -> None:
    moment(stock)
    with stock.database.begin() as tx:
        gate.hold(tx, "a", 5.0)
        gate.hold(tx, "a", 0.1)
    assert moment(stock) - time.time() >= 4.5


def test_a_hold_of_an_account_that_never_called_is_kept_too(stock: Stock) -> None:
    with stock.database.begin() as tx:
        gate.hold(tx, "new", 5.0)
    assert moment(stock, "new") - time.time() >= 4.5
