"""A call leaves only where the lease outlasts it, by the carrier's ledger."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from m2m_pipeline.services.execution.lease import ENOUGH, RENEWED_AFTER, Lease
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.local.waiting import wait_until
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import OWNER, Options, World

LEASE_SECONDS = 3.0
UNDER_WAY_SECONDS = 0.3
"""From the last look at the lease until the carrier has the call."""

_COUNTS_ON = {time.CLOCK_BOOTTIME, time.CLOCK_REALTIME}
"""The clocks that do not stand still while the machine is suspended."""


def test_no_call_leaves_that_could_outlive_the_lease_and_they_go_on_with_the_next_renewal(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    renew, may_renew, renewed = Lease._renew, Event(), list[float]()

    def held_up(lease: Lease) -> float | None:
        assert may_renew.wait(30)
        asked_at = time.monotonic()
        moment = renew(lease)
        renewed.extend([asked_at] if moment else [])
        return moment

    monkeypatch.setattr(Lease, "_renew", held_up)
    may_renew.set()
    world = make_world(Options(devices=30, in_flight=1, lease=LEASE_SECONDS))
    world.control.set_latency(100, 100)
    (batch,) = world.prepare(world.submit(batch_size=30).bulk_change_id)
    with ThreadPoolExecutor(1) as other:
        running = other.submit(world.drive, batch)
        wait_until(lambda: world.puts() >= 3, "some calls")
        may_renew.clear()
        wait_until(lambda: time.monotonic() > renewed[-1] + LEASE_SECONDS, "the end of the lease")
        short_at, on_at = renewed[-1] + (1 - ENOUGH) * LEASE_SECONDS, time.monotonic()
        may_renew.set()
        running.result()
    world.services.execution.finalize(batch.bulk_change_id, OWNER)
    evidence = world.evidence(batch.bulk_change_id)

    starts = [call.start for call in evidence.puts()]
    assert [start for start in starts if start < short_at]
    assert not [start for start in starts if short_at + UNDER_WAY_SECONDS < start < on_at]
    assert len(starts) == len(world.iccids)
    check_all(evidence)


def test_a_lease_runs_out_while_the_machine_is_suspended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = world.services.execution.claim(world.submit().bulk_change_id, OWNER)
    lease = Lease(world.services.database, attempt, 60.0)
    read = time.clock_gettime

    async def outlast(suspended_seconds: float) -> bool:
        def after_that(clock: int) -> float:
            return read(clock) + suspended_seconds * (clock in _COUNTS_ON)

        await lease.renew()
        assert lease.outlasts(40.0)
        with monkeypatch.context() as patch:
            patch.setattr(time, "clock_gettime", after_that)
            return lease.outlasts(40.0)

    assert asyncio.run(outlast(15.0))
    assert not asyncio.run(outlast(30.0))


def test_a_renewal_that_is_in_time_always_leaves_enough_for_a_call() -> None:
    assert 1 - RENEWED_AFTER > ENOUGH
