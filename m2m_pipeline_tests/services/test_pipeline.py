"""The batches of an attempt overlap, by the carrier's ledger; whoever ends a run loses nothing that is known."""

import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from threading import main_thread
from traceback import walk_stack

import pytest

from m2m_pipeline.domain.accounts import VerifyMode
from m2m_pipeline.services.execution.pipeline import Pipeline
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import OWNER, Options, World

SECOND = "run-2"


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def interrupt_while_it_is_closed() -> None:
    """Ctrl-C for the main thread as soon as it ends a pipeline."""
    main = main_thread().ident
    assert main is not None
    wait_until(lambda: any(f.f_code is Pipeline.close.__code__ for f, _ in walk_stack(sys._current_frames()[main])))
    signal.pthread_kill(main, signal.SIGINT)


def statuses(world: World) -> dict[object, object]:
    rows = world.sql("SELECT status, count(*) FROM m2m.device_change GROUP BY status")
    return {status: count for status, count in rows}  # noqa: C416 -- rows have no fixed length for the type checker


def test_the_next_batch_is_sent_while_this_one_is_being_confirmed(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=20, verify=VerifyMode.EACH))
    world.control.set_latency(100, 100)
    first, second = world.iccids[:10], world.iccids[10:]

    _, evidence = world.submit_and_run(batch_size=10)

    confirmed = max(call.start for iccid in first for call in evidence.reads(iccid))
    sent = min(call.start for iccid in second for call in evidence.puts(iccid))
    assert sent < confirmed
    check_all(evidence)


def test_no_more_than_one_batch_is_begun_ahead(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=9))
    first, second, _ = world.prepare(world.submit(batch_size=3).bulk_change_id)

    world.services.execution.change_devices(first, OWNER, read_ahead=True)
    wait_until(lambda: world.puts() == 6)
    world.services.execution.release(OWNER)

    assert world.puts() == 6
    assert statuses(world) == {"APPLIED": 6, "PENDING": 3}
    world.services.execution.change_devices(second, OWNER)
    assert world.puts() == 6


def test_a_batch_that_was_chosen_alone_is_sent_alone(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=6))
    first, _ = world.prepare(world.submit(batch_size=3).bulk_change_id)

    world.services.execution.change_devices(first, OWNER)

    assert world.puts() == 3
    assert statuses(world) == {"APPLIED": 3, "PENDING": 3}


def test_whoever_ends_a_run_waits_for_the_calls_under_way_and_sends_nothing_more(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=40, in_flight=5))
    world.control.set_latency(400, 400)
    (batch,) = world.prepare(world.submit(batch_size=40).bulk_change_id)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(world.services.execution.change_devices, batch, OWNER)
        wait_until(lambda: world.puts() >= 5)

        world.services.execution.release(OWNER)

        puts = world.puts()
        with pytest.raises(CancelledError):
            running.result()
    known = statuses(world)
    assert known == {"APPLIED": puts, "PENDING": 40 - puts}
    world.control.set_latency(0, 0)
    document = world.run(batch.bulk_change_id, SECOND)
    assert document.counts == {"PROCESSED": 40}
    check_all(world.evidence(batch.bulk_change_id))


def test_a_second_interrupt_while_a_run_is_ended_cuts_no_call_and_loses_no_outcome(make_world: MakeWorld) -> None:
    """As when systemd signals all of the services' processes, and `m2m up` signals its own."""
    world = make_world(Options(devices=2))
    world.control.set_latency(400, 400)
    (batch,) = world.prepare(world.submit(batch_size=2).bulk_change_id)
    with ThreadPoolExecutor(2) as threads:
        running = threads.submit(world.services.execution.change_devices, batch, OWNER)
        wait_until(lambda: world.puts() == 2)
        threads.submit(interrupt_while_it_is_closed)
        with pytest.raises(KeyboardInterrupt):
            world.services.execution.release(OWNER)
        assert statuses(world) == {"APPLIED": 2}
        assert isinstance(running.exception(), CancelledError)
    world.services.execution.release(OWNER)
    assert world.sql("SELECT lease_owner FROM m2m.bulk_change") == [(None,)]


def test_a_call_that_is_not_answered_is_not_waited_for_without_end(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("m2m_pipeline.services.execution.pipeline.REST_SECONDS", 0.2)
    world = make_world(Options(devices=3))
    world.control.set_latency(400, 400)
    world.trouble(Rule(name="hang", methods=frozenset({"PUT"})))
    (batch,) = world.prepare(world.submit(batch_size=3).bulk_change_id)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(world.services.execution.change_devices, batch, OWNER)
        wait_until(lambda: world.puts() == 3)

        world.services.execution.release(OWNER)

        assert isinstance(running.exception(), CancelledError)
    assert statuses(world) == {"SENDING": 3}
    world.control.stop_all()
    world.run(batch.bulk_change_id, SECOND)
    check_all(world.evidence(batch.bulk_change_id))
