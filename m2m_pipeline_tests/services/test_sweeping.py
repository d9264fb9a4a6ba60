"""What died is taken up by itself: the next attempt is queued, and after too many the truth is told."""

from collections.abc import Sequence

import pytest

from m2m_pipeline.domain.attempt import LeaseLostError
from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline.services.sweeping import MAX_ATTEMPTS, Swept
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.services.test_resume import DyingCarriers, PowerCutError, expire_lease
from m2m_pipeline_tests.world import OWNER, Options, World

pytestmark = pytest.mark.usefixtures("quick_reads", "quick_places")


def sweep(world: World) -> Sequence[Swept]:
    return list(world.services.sweeping.sweep_leases())


def queue_of(world: World) -> list[tuple[int, int]]:
    """The bulk changes that wait, with the attempt they wait for."""
    return [(one.id, one.attempt) for one in world.services.queue.head()]


def die_in_a_call(world: World, bulk_change_id: int, victim: str, owner: str = OWNER) -> None:
    """An attempt whose process ends after the carrier has acted on `victim`; its lease has run out."""
    (batch,) = world.prepare(bulk_change_id, owner)
    healthy, world.services = world.services, world.application(carriers=DyingCarriers(victim, before=False))
    with pytest.raises(PowerCutError):
        world.services.execution.change_devices(batch, owner)
    world.services.close()
    world.services = healthy
    expire_lease(world)


def exhaust(world: World, bulk_change_id: int) -> None:
    """One more attempt without progress, and this is the last."""
    world.sql(
        "UPDATE m2m.bulk_change SET fruitless_attempts = %s, attempt_queued_at = clock_timestamp() WHERE id = %s",
        MAX_ATTEMPTS - 1,
        bulk_change_id,
    )


def abandonments(world: World, bulk_change_id: int) -> list[tuple[str, str]]:
    entries = world.evidence(bulk_change_id).audit
    return [(entry.actor, entry.outcome) for entry in entries if entry.kind == "ATTEMPT_ABANDONED"]


def test_an_attempt_whose_lease_ran_out_is_followed_by_the_next_which_repeats_nothing(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=5, in_flight=1))
    bulk_change_id = world.submit(batch_size=5).bulk_change_id
    die_in_a_call(world, bulk_change_id, world.iccids[2])

    assert sweep(world) == [Swept(bulk_change_id, 1)]
    assert queue_of(world) == [(bulk_change_id, 2)]
    document = world.run(bulk_change_id, "run-2")
    evidence = world.evidence(bulk_change_id)
    assert document.status is BulkChangeStatus.PROCESSED
    assert len(evidence.puts()) == 5
    assert abandonments(world, bulk_change_id) == [("sweeper", "QUEUED")]
    check_all(evidence)


def test_a_lease_that_was_given_back_is_no_hindrance(world: World) -> None:
    bulk_change_id = world.submit().bulk_change_id
    world.prepare(bulk_change_id)
    world.services.execution.release(OWNER)

    assert sweep(world) == [Swept(bulk_change_id, 1)]


def test_what_lives_waits_or_has_ended_is_left_alone(world: World) -> None:
    ended, alive, waiting = (world.submit([iccid]).bulk_change_id for iccid in world.iccids)
    world.run(ended)
    world.prepare(alive)
    before = world.sql("SELECT * FROM m2m.bulk_change ORDER BY id")

    assert sweep(world) == []
    assert world.sql("SELECT * FROM m2m.bulk_change ORDER BY id") == before
    assert queue_of(world) == [(waiting, 1)]


def test_a_second_sweep_has_nothing_to_do(world: World) -> None:
    bulk_change_id = world.submit().bulk_change_id
    world.prepare(bulk_change_id)
    expire_lease(world)

    assert [sweep(world), sweep(world)] == [[Swept(bulk_change_id, 1)], []]
    assert len(abandonments(world, bulk_change_id)) == 1


def test_an_owner_that_is_writing_just_now_is_alive(world: World) -> None:
    bulk_change_id = world.submit().bulk_change_id
    attempt = world.services.execution.claim(bulk_change_id, OWNER)
    expire_lease(world)
    with world.services.database.fenced(attempt):
        assert sweep(world) == []


def test_a_zombie_writes_nothing_once_its_attempt_was_given_up(world: World) -> None:
    bulk_change_id = world.submit().bulk_change_id
    zombie = world.services.execution.claim(bulk_change_id, OWNER)
    expire_lease(world)
    sweep(world)

    with pytest.raises(LeaseLostError), world.services.database.fenced(zombie):
        pass


def test_the_next_attempt_keeps_the_old_place_in_the_queue(world: World) -> None:
    first = world.submit(world.iccids[:1]).bulk_change_id
    second = world.submit(world.iccids[1:]).bulk_change_id
    world.prepare(first)
    expire_lease(world)
    sweep(world)

    assert queue_of(world) == [(first, 2), (second, 1)]


def test_an_attempt_that_brought_devices_to_their_end_does_not_count(world: World) -> None:
    bulk_change_id = world.submit().bulk_change_id
    exhaust(world, bulk_change_id)
    first, *_ = world.prepare(bulk_change_id)
    world.drive(first)
    expire_lease(world)

    assert sweep(world) == [Swept(bulk_change_id, 1)]
    assert world.sql("SELECT fruitless_attempts FROM m2m.bulk_change") == [(1,)]


def test_an_attempt_that_changed_devices_in_a_batch_it_did_not_finish_does_not_count(make_world: MakeWorld) -> None:
    """The first batch of an account with few calls a second takes minutes."""
    world = make_world(Options(devices=5, in_flight=1))
    bulk_change_id = world.submit(batch_size=5).bulk_change_id
    for number, place in enumerate((1, 3), start=1):  # the sending is interrupted, and again
        exhaust(world, bulk_change_id)
        die_in_a_call(world, bulk_change_id, world.iccids[place], f"run-{number}")
        assert sweep(world) == [Swept(bulk_change_id, number)]
    exhaust(world, bulk_change_id)
    (batch,) = world.prepare(bulk_change_id, "run-3")
    world.services.execution.change_devices(batch, "run-3")  # and the confirmed ones are not told to AMOP
    expire_lease(world)

    assert sweep(world) == [Swept(bulk_change_id, 3)]
    assert world.sql("SELECT fruitless_attempts FROM m2m.bulk_change") == [(1,)]


def test_a_dispatch_is_given_up_only_while_its_attempt_waits(world: World) -> None:
    bulk_change_id = world.submit().bulk_change_id
    give_up = world.services.sweeping.give_up_dispatch

    assert give_up(bulk_change_id, 7, "it died.") is None
    assert give_up(bulk_change_id, 1, "it died.") == Swept(bulk_change_id, 1)
    assert give_up(bulk_change_id, 1, "it died.") is None
    assert queue_of(world) == [(bulk_change_id, 2)]
    world.services.execution.claim(bulk_change_id, OWNER)
    assert give_up(bulk_change_id, 2, "it died.") is None


def test_a_run_that_waits_for_its_carrier_at_the_sign_in_keeps_its_lease(make_world: MakeWorld) -> None:
    world = make_world(Options(lease=2.0, patience=3.0))
    bulk_change_id = world.submit().bulk_change_id
    world.services.execution.validate_request(bulk_change_id, OWNER)
    world.services.execution.build_change_details(bulk_change_id, OWNER)
    world.trouble(Rule(name="outage"))
    world.sql("UPDATE m2m.bulk_change SET lease_expires_at = clock_timestamp()")
    world.sql(
        """
        CREATE FUNCTION public.late() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF OLD.lease_expires_at < clock_timestamp() AND NEW.lease_owner = OLD.lease_owner THEN RAISE 'late'; END IF;
            RETURN NEW;
        END $$;
        """
    )
    world.services.execution.claim(bulk_change_id, OWNER)
    world.sql("CREATE TRIGGER late BEFORE UPDATE ON m2m.bulk_change FOR EACH ROW EXECUTE FUNCTION public.late()")
    with pytest.raises(Exception, match="not reachable"):
        world.services.execution.authenticate_carrier(bulk_change_id, OWNER)

    assert world.evidence(bulk_change_id).bulk.reason == "CARRIER_UNREACHABLE"


def test_only_a_run_that_has_been_without_its_lease_for_long_is_taken_for_dead(world: World) -> None:
    bulk_change_id = world.submit().bulk_change_id
    world.services.execution.claim(bulk_change_id, OWNER)
    disown = world.services.sweeping.disown
    assert not disown(bulk_change_id, OWNER)
    assert not disown(bulk_change_id, "run-0")
    assert disown(bulk_change_id + 1, OWNER), "there is no such bulk change"
    world.sql(
        "UPDATE m2m.bulk_change SET created_at = created_at - interval '1 h', attempt_queued_at = created_at - "
        "interval '1 h', queued_at = created_at - interval '1 h'"
    )
    assert not disown(bulk_change_id, OWNER)
    assert disown(bulk_change_id, "run-0")
    expire_lease(world)
    assert not disown(bulk_change_id, OWNER)
    world.sql("UPDATE m2m.bulk_change SET lease_expires_at = clock_timestamp() - interval '3 min'")
    assert disown(bulk_change_id, OWNER)
    assert abandonments(world, bulk_change_id) == [("sweeper", "RUN_ENDED")] * 2
