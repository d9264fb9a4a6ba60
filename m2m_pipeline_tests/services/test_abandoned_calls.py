"""A call for which nobody waits any more may be carried out yet: until it is over, an old plan is no answer."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline.services.accounts import ProviderSettings
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.local.waiting import wait_until
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.services.test_sweeping import exhaust, sweep
from m2m_pipeline_tests.world import OWNER, PROVIDER, TENANT, Options, QuickCarriers, World

pytestmark = pytest.mark.usefixtures("quick_reads", "quick_places")

CALL_SECONDS = 3.0
AT_WORK_MS = 2500.0
"""So long the carrier is at a change before it makes it."""


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world(Options(devices=3, in_flight=1), QuickCarriers(read=CALL_SECONDS, total=CALL_SECONDS))


def abandon_the_first_call(world: World, monkeypatch: pytest.MonkeyPatch) -> int:
    """A run that is ended, and gives its lease back, while the carrier is at its first call."""
    monkeypatch.setattr("m2m_pipeline.services.execution.pipeline.REST_SECONDS", 0.05)
    bulk_change_id = world.submit(batch_size=3).bulk_change_id
    (batch,) = world.prepare(bulk_change_id)
    world.control.set_latency(AT_WORK_MS, AT_WORK_MS)
    with ThreadPoolExecutor(1) as other:
        running = other.submit(world.services.execution.change_devices, batch, OWNER)
        wait_until(lambda: world.puts() == 1, "the first call")
        world.control.set_latency(0, 0)
        world.services.execution.release(OWNER)
        assert running.exception()
    more = ProviderSettings(in_flight=3)  # the call's place is no other's yet
    world.provider = world.services.accounts.configure(TENANT, PROVIDER, more, actor="test")
    return bulk_change_id


def test_the_next_attempt_sends_a_device_again_only_when_its_abandoned_call_is_over_and_the_others_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk_change_id = abandon_the_first_call(world, monkeypatch)
    document = world.run(bulk_change_id, "run-2")
    evidence = world.evidence(bulk_change_id)

    assert document.status is BulkChangeStatus.PROCESSED
    assert [len(evidence.puts(iccid)) for iccid in world.iccids] == [1, 1, 1]
    made = {change.iccid: change.at for change in evidence.changes}
    first, _announced, other = world.iccids
    assert made[other] < made[first]
    check_all(evidence)


def test_reconciliation_calls_no_device_unchanged_before_its_abandoned_call_is_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk_change_id = abandon_the_first_call(world, monkeypatch)
    exhaust(world, bulk_change_id)
    sweep(world)
    assert world.settle() == 0
    evidence = world.evidence(bulk_change_id)

    assert evidence.row(world.iccids[0]).status == "PROCESSED"
    check_all(evidence)


STALL_SECONDS = 1.0
_STALL_ONCE = f"""
CREATE SEQUENCE public.groups;
CREATE FUNCTION public.stall() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('public.groups') = 1 THEN
        PERFORM pg_sleep({STALL_SECONDS});
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER stall AFTER UPDATE OF sent_at ON m2m.device_change FOR EACH STATEMENT EXECUTE FUNCTION public.stall();
"""


def test_a_call_leaves_soon_after_its_intent_or_not_at_all(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("m2m_pipeline.services.execution.sending.LEAVES_WITHIN_SECONDS", STALL_SECONDS / 2)
    world.sql(_STALL_ONCE)
    document, evidence = world.submit_and_run(batch_size=3)

    assert document.status is BulkChangeStatus.PROCESSED
    for put in evidence.puts():
        assert put.iccid
        sent_at = evidence.row(put.iccid).sent_at
        assert sent_at
        assert put.wall - sent_at.timestamp() < STALL_SECONDS
    check_all(evidence)
