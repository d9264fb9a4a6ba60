"""After too many attempts without progress a bulk change is ended with what is known, and nothing is guessed."""

import pytest

from m2m_pipeline.domain.accounts import VerifyMode
from m2m_pipeline.domain.attempt import NotClaimableError
from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline.services.sweeping import MAX_ATTEMPTS, Swept
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.services.test_resume import PowerCutError, expire_lease
from m2m_pipeline_tests.services.test_sweeping import abandonments, die_in_a_call, exhaust, queue_of, sweep
from m2m_pipeline_tests.world import NEW, OLD, OWNER, Options, World

pytestmark = pytest.mark.usefixtures("quick_reads", "quick_places")


def test_after_too_many_attempts_without_progress_nothing_was_sent_and_that_is_what_is_told(world: World) -> None:
    bulk_change_id = world.submit().bulk_change_id
    all_swept: list[Swept] = []
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert queue_of(world) == [(bulk_change_id, attempt)]
        world.services.execution.claim(bulk_change_id, f"run-{attempt}")
        expire_lease(world)
        all_swept += sweep(world)
    swept = all_swept[-1]
    evidence = world.evidence(bulk_change_id)

    assert swept.document is not None
    assert (swept.document.status, swept.document.reason) == ("FAILED", "RUN_ATTEMPTS_EXHAUSTED")
    assert {(row.status, row.reason) for row in evidence.rows} == {("REFUSED", "RUN_ATTEMPTS_EXHAUSTED")}
    assert [outcome for _, outcome in abandonments(world, bulk_change_id)] == ["QUEUED"] * 4 + ["GIVEN_UP"]
    assert not evidence.calls
    check_all(evidence)


def test_devices_of_which_a_call_may_have_left_are_left_to_reconciliation_in_the_end(make_world: MakeWorld) -> None:
    # At a rate at which no call waits for the place of another: a crash makes uncertain what was announced, too.
    world = make_world(Options(devices=4, calls_per_second=90, in_flight=1))
    bulk_change_id = world.submit(batch_size=4).bulk_change_id
    die_in_a_call(world, bulk_change_id, world.iccids[1])
    exhaust(world, bulk_change_id)
    (swept,) = sweep(world)

    assert swept.document is not None
    assert (swept.document.status, swept.document.counts) == ("PARTIAL", {"UNCONFIRMED": 2, "REFUSED": 2})
    check_all(world.evidence(bulk_change_id))

    done = world.services.reconciliation.settle(world.provider)
    evidence = world.evidence(bulk_change_id)
    assert (done.settled, done.unknown) == (2, 0)
    assert [evidence.row(iccid).status for iccid in world.iccids] == ["PROCESSED", "PROCESSED", "REFUSED", "REFUSED"]
    check_all(evidence)


def test_the_carriers_word_is_enough_in_the_end_where_it_is_enough_otherwise(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=2, verify=VerifyMode.NONE))
    bulk_change_id = world.submit(batch_size=2).bulk_change_id
    (batch,) = world.prepare(bulk_change_id)
    world.services.execution.change_devices(batch, OWNER)
    expire_lease(world)
    exhaust(world, bulk_change_id)
    (swept,) = sweep(world)

    assert swept.document is not None
    assert swept.document.counts == {"PROCESSED": 2}
    check_all(world.evidence(bulk_change_id))


def test_a_reason_that_stopped_the_change_before_stays_its_reason(world: World) -> None:
    bulk_change_id = world.submit(batch_size=3).bulk_change_id
    (batch,) = world.prepare(bulk_change_id)
    world.trouble(Rule(name="rate_plan_retired", rate_plan=NEW))
    world.services.execution.change_devices(batch, OWNER)
    expire_lease(world)
    exhaust(world, bulk_change_id)
    world.sql("UPDATE m2m.device_change SET ended_at = NULL")
    (swept,) = sweep(world)

    assert swept.document is not None
    assert swept.document.reason == "CARRIER_RATE_PLAN_REFUSED"


def test_a_sweeper_that_dies_before_the_end_is_followed_by_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk_change_id = world.submit().bulk_change_id
    world.prepare(bulk_change_id)
    expire_lease(world)
    exhaust(world, bulk_change_id)
    with monkeypatch.context() as patch:
        patch.setattr("m2m_pipeline.services.execution.amop.update_amop", _die)
        with pytest.raises(PowerCutError):
            sweep(world)
    assert sweep(world) == []
    expire_lease(world)
    (swept,) = sweep(world)

    assert swept.document is not None
    check_all(world.evidence(bulk_change_id))


def test_a_change_whose_runs_never_begin_ends_too(world: World) -> None:
    bulk_change_id = world.submit().bulk_change_id
    for attempt in range(1, MAX_ATTEMPTS):
        world.services.sweeping.give_up_dispatch(bulk_change_id, attempt, "it died.")
    swept = world.services.sweeping.give_up_dispatch(bulk_change_id, MAX_ATTEMPTS, "it died.")

    assert swept is not None
    assert swept.document is not None
    assert swept.document.status is BulkChangeStatus.FAILED
    check_all(world.evidence(bulk_change_id))


def test_a_change_that_was_ended_by_the_sweeper_is_nobodys_to_work_on(world: World) -> None:
    bulk_change_id = world.submit().bulk_change_id
    world.prepare(bulk_change_id)
    expire_lease(world)
    exhaust(world, bulk_change_id)
    sweep(world)

    with pytest.raises(NotClaimableError, match="has ended as FAILED"):
        world.services.execution.claim(bulk_change_id, "run-2")
    assert {view.rate_plan for view in world.evidence(bulk_change_id).carrier.values()} == {OLD}


def _die(*_: object, **__: object) -> None:
    raise PowerCutError
