"""The budget of an account: one row, on which every process decides under its lock."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from sqlalchemy import text

from m2m_pipeline.domain.accounts import ServiceProvider, account_key
from m2m_pipeline.domain.budget.gate import Gate, Limits, Turn
from m2m_pipeline.domain.budget.turns import Grant
from m2m_pipeline.storage import accounts, gate
from m2m_pipeline_tests.storage.conftest import Stock


def begin(stock: Stock, calls: int, account: str = "a") -> list[int]:
    with stock.database.begin() as tx:
        locked = gate.lock(tx, account)
        return gate.store(tx, account, locked.gate, "run", Grant(calls, locked.now, 0.1, calls))


def in_flight(stock: Stock, account: str = "a") -> int:
    with stock.database.begin() as tx:
        return gate.lock(tx, account).in_flight


def test_an_account_that_was_never_used_may_call_at_once(stock: Stock) -> None:
    with stock.database.begin() as tx:
        locked = gate.lock(tx, "new")

    assert locked.gate == Gate()
    assert locked.in_flight == 0


def test_the_gate_is_found_as_it_was_left(stock: Stock) -> None:
    turns = (Turn("run-1", 10.0, 10.5, turns=3), Turn("run-2", 11.0, 11.5))
    left = Gate(12.5, 3.5, 11.0, (True, False, True), 99.0, turns, 89.0, 3, 98.0, 13.0)

    with stock.database.begin() as tx:
        gate.lock(tx, "a")
        gate.store(tx, "a", left)

    with stock.database.begin() as tx:
        assert gate.lock(tx, "a").gate == left


def test_a_turn_that_was_written_before_turns_were_counted_is_one(stock: Stock) -> None:
    with stock.database.begin() as tx:
        gate.lock(tx, "a")
        tx.execute(text("""UPDATE m2m.carrier_gate SET waiting = '[{"holder": "run", "seen_at": 1, "back_at": 2}]'"""))

    with stock.database.begin() as tx:
        assert gate.lock(tx, "a").gate.waiting == (Turn("run", 1, 2, turns=1),)


def test_calls_in_flight_are_those_that_began_and_have_not_ended(stock: Stock) -> None:
    begun = begin(stock, 3)
    begin(stock, 1, account="other")

    with stock.database.begin() as tx:
        left = gate.lock(tx, "a", [begun[0], begun[0] + 10_000]).in_flight

    assert left == 2
    assert in_flight(stock) == 2


def configure(stock: Stock, provider: ServiceProvider, base_url: str, rate: float, in_flight: int) -> None:
    with stock.database.begin() as tx:
        changed = replace(provider, base_url=base_url, calls_per_second=rate, in_flight=in_flight)
        accounts.update_provider(tx, changed)
        accounts.store_credential(tx, changed, "amop/api", b"sealed")


def limits(stock: Stock, account: str) -> tuple[Limits | None, Limits | None]:
    """For who decides, and for who looks on."""
    with stock.database.begin() as tx:
        locked = gate.lock(tx, account)
        seen = gate.read(tx, account)
    assert seen is not None
    return locked.limits, seen.limits


def test_an_account_allows_the_least_that_one_of_its_providers_is_configured_to(stock: Stock) -> None:
    configure(stock, stock.ours, "https://carrier.example", 50.0, 2)
    alone = limits(stock, account_key("https://carrier.example", "amop/api"))
    configure(stock, stock.theirs, "https://carrier.example", 7.5, 10)
    together = limits(stock, account_key("https://carrier.example", "amop/api"))
    configure(stock, stock.theirs, "https://carrier.example:8443", 7.5, 10)
    elsewhere = limits(stock, account_key("https://carrier.example:8443", "amop/api"))

    assert alone == (Limits(50.0, 2), Limits(50.0, 2))
    assert together == (Limits(7.5, 2), Limits(7.5, 2))
    assert elsewhere == (Limits(7.5, 10), Limits(7.5, 10))
    assert limits(stock, account_key("https://carrier.example", "another")) == (None, None)


def test_a_change_is_under_way_at_the_account_whichever_of_its_providers_makes_it(stock: Stock) -> None:
    for provider in (stock.ours, stock.theirs):
        configure(stock, provider, "https://carrier.example", 5.0, 1)
    assert stock.claim(stock.record(provider=stock.theirs))

    with stock.database.begin() as tx:
        under_way = [
            gate.change_is_under_way(tx, account_key("https://carrier.example", user)) for user in ("amop/api", "other")
        ]
    assert under_way == [True, False]


def test_the_calls_of_a_process_that_died_do_not_hold_their_places_for_ever(stock: Stock) -> None:
    begin(stock, 2)

    with stock.database.begin() as tx:
        tx.execute(text("UPDATE m2m.carrier_call SET ends_at = extract(epoch FROM clock_timestamp()) - 1"))

    assert in_flight(stock) == 0


def test_decisions_about_one_account_are_made_one_after_the_other(stock: Stock) -> None:
    def decide(_: int) -> None:
        with stock.database.begin() as tx:
            known = gate.lock(tx, "a").gate
            gate.store(tx, "a", replace(known, next_call_at=known.next_call_at + 1))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(decide, range(40)))

    with stock.database.begin() as tx:
        assert gate.lock(tx, "a").gate.next_call_at == 40


def test_another_account_is_not_waited_for(stock: Stock) -> None:
    decided = threading.Event()

    def decide() -> None:
        with stock.database.begin() as tx:
            gate.lock(tx, "b")
        decided.set()

    with stock.database.begin() as tx:
        gate.lock(tx, "a")
        threading.Thread(target=decide).start()
        assert decided.wait(10)


def test_a_reader_sees_the_gate_as_it_was_committed_and_does_not_wait_for_who_decides(stock: Stock) -> None:
    begin(stock, 3)
    begin(stock, 1, account="other")
    with stock.database.begin() as tx:
        tx.execute(text("UPDATE m2m.carrier_call SET ends_at = 1 WHERE id = (SELECT min(id) FROM m2m.carrier_call)"))

    with stock.database.begin() as deciding:
        gate.lock(deciding, "a")
        gate.store(deciding, "a", Gate(pace=0.5))
        with stock.database.begin() as tx:
            seen, unused = gate.read(tx, "a"), gate.read(tx, "unused")

    assert seen is not None
    assert (seen.gate, seen.in_flight) == (Gate(), 2)
    assert unused is None
