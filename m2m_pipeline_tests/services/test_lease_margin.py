"""A call leaves only where the lease outlasts it, by the carrier's ledger."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from m2m_pipeline.services.execution.lease import ENOUGH, RENEWED_AFTER, Lease
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.local.waiting import wait_until
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import OWNER, Options

LEASE_SECONDS = 3.0
UNDER_WAY_SECONDS = 0.3
"""From the last look at the lease until the carrier has the call."""


def test_no_call_leaves_that_could_outlive_the_lease_and_they_go_on_with_the_next_renewal(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    renew, may_renew, renewed = Lease._renew, Event(), list[float]()

    def held_up(lease: Lease) -> float | None:
        assert may_renew.wait(30)
        moment = renew(lease)
        renewed.extend([moment] if moment else [])
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


def test_a_renewal_that_is_in_time_always_leaves_enough_for_a_call() -> None:
    assert 1 - RENEWED_AFTER > ENOUGH
