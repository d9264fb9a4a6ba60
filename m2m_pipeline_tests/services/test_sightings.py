"""What one run's list pages show of another's devices is not asked for again, and never believed too early."""

import asyncio
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from m2m_pipeline.domain.accounts import VerifyMode
from m2m_pipeline.domain.attempt import Attempt, LeaseLostError
from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.domain.status import DeviceStatus
from m2m_pipeline.services.execution import pages
from m2m_pipeline.services.execution import sightings as waiting
from m2m_pipeline.services.execution.readback import confirm
from m2m_pipeline.services.execution.sending import send_pending
from m2m_pipeline.services.execution.workbench import Workbench
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline.storage import sightings
from m2m_pipeline_tests.invariants import (
    i1_every_device_reaches_a_final_status,
    i2_at_most_one_change_and_no_blind_repeat,
    i3_the_status_agrees_with_carrier_and_amop,
    i4_every_device_is_audited,
    i7_only_legal_transitions,
)
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.services.test_told_once import bench_of
from m2m_pipeline_tests.world import COMM_NEW, COMM_OLD, NEW, OLD, OWNER, THIRD, Options, World

pytestmark = pytest.mark.usefixtures("quick_reads")

EACH = 100
OTHER = "run-2"
CLEARLY_LATER = 0.5
"""Seconds between the last call and the first page. Of one asked for within the time that the database's answer takes,
nobody can tell that it was after the call."""

RUNS, OF_A_RUN, BATCH, CALLS_PER_SECOND = 3, 1500, 500, 450.0


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world(Options(devices=2 * EACH, in_flight=20))


def begun(world: World, chosen: Collection[str], owner: str, **fields: object) -> int:
    """A bulk change over these devices, before the first is sent."""
    bulk_change_id = world.submit(list(chosen), batch_size=len(chosen), **fields).bulk_change_id
    world.prepare(bulk_change_id, owner)
    return bulk_change_id


def reads(world: World) -> int:
    return sum(call.method == "GET" and "/devices" in call.path for call in world.control.calls())


def verified(world: World) -> int:
    ((count,),) = world.sql("SELECT count(*) FROM m2m.device_change WHERE status = 'APPLIED' AND verified_at > sent_at")
    assert isinstance(count, int)
    return count


async def send_all(bench: Workbench) -> None:
    await bench.session.lease.renew()
    await send_pending(bench)


async def confirm_all(bench: Workbench) -> None:
    assert not await confirm(bench, VerifyMode.PAGES, bench.in_status(DeviceStatus.APPLIED))


def test_what_the_pages_of_one_run_show_of_another_s_devices_is_not_read_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Theirs are sent before ours, and our list begins before theirs: so it shows all of both, whoever was quicker."""
    monkeypatch.setattr(pages, "NARROW", timedelta(minutes=2))
    ours, theirs = begun(world, world.iccids[:EACH], OWNER), begun(world, world.iccids[EACH:], OTHER)

    async def work() -> None:
        first, second = bench_of(world, ours), bench_of(world, theirs, OTHER)
        await send_all(second)
        await send_all(first)
        await asyncio.sleep(CLEARLY_LATER)
        await confirm_all(first)
        before = reads(world)
        assert before
        await confirm_all(second)
        for bench in (first, second):
            await bench.session.close()
        assert reads(world) == before

    asyncio.run(work())

    assert verified(world) == 2 * EACH


def test_a_page_that_was_asked_for_before_the_call_was_over_confirms_nothing(world: World) -> None:
    """It shows a plan that somebody may have changed before our call, which then came to nothing."""
    not_kept = frozenset(world.iccids[:EACH:10])
    world.trouble(Rule(name="ok_not_applied", iccids=not_kept))
    ours = begun(world, world.iccids[:EACH], OWNER)

    async def work() -> None:
        bench = bench_of(world, ours)
        world.sql("INSERT INTO m2m.sighting SELECT id, clock_timestamp() FROM m2m.device_change")
        await send_all(bench)
        await confirm_all(bench)
        await bench.session.close()

    asyncio.run(work())

    refused = world.sql("SELECT iccid FROM m2m.device_change WHERE reason = 'ACCEPTED_NOT_APPLIED'")
    assert {iccid for (iccid,) in refused} == not_kept
    assert verified(world) == EACH - len(not_kept)


@pytest.mark.parametrize(
    ("shown", "wanted", "noted"),
    [
        ((NEW, COMM_OLD), {}, True),
        ((NEW, None), {}, True),
        ((OLD, COMM_OLD), {}, False),
        ((THIRD, COMM_OLD), {}, False),
        ((None, None), {}, False),
        ((NEW, COMM_NEW), {"communication_plan": COMM_NEW}, True),
        ((NEW, COMM_OLD), {"communication_plan": COMM_NEW}, False),
        ((NEW, None), {"communication_plan": COMM_NEW}, False),
    ],
)
def test_noted_is_only_what_a_page_shows_on_the_plans_of_its_change(
    world: World, shown: tuple[str | None, str | None], wanted: Mapping[str, str], noted: bool
) -> None:
    ours, theirs = begun(world, world.iccids[:1], OWNER), begun(world, world.iccids[1:2], OTHER, **wanted)
    world.sql("UPDATE m2m.device_change SET status = 'SENDING'")

    note(world, ours, DeviceReading(world.iccids[1], *shown))

    assert world.sql("SELECT bulk_change_id FROM m2m.sighting JOIN m2m.device_change ON id = device_change_id") == (
        [(theirs,)] if noted else []
    )


@pytest.mark.parametrize("status", sorted(set(DeviceStatus) - set(sightings.IN_QUESTION) - {DeviceStatus.WAITING}))
def test_of_a_device_with_which_nothing_is_open_nothing_is_noted(world: World, status: DeviceStatus) -> None:
    ours = begun(world, world.iccids[:1], OWNER)
    world.sql("UPDATE m2m.device_change SET status = %s, reason = 'ATTEMPTS_EXHAUSTED'", status.value)

    note(world, ours, DeviceReading(world.iccids[0], NEW, COMM_OLD))

    assert world.count("sighting") == 0


def test_sightings_that_nobody_needs_any_more_are_removed(world: World) -> None:
    ours = begun(world, world.iccids[:2], OWNER)
    world.sql("INSERT INTO m2m.sighting SELECT id, clock_timestamp() - interval '2 hours' FROM m2m.device_change")

    note(world, ours, DeviceReading(world.iccids[0], OLD, COMM_OLD))

    assert world.count("sighting") == 0


def test_runs_of_a_provider_read_pages_one_after_the_other(world: World) -> None:
    ours, theirs = begun(world, world.iccids[:1], OWNER), begun(world, world.iccids[1:2], OTHER)

    assert look(world, ours).is_our_turn
    assert look(world, ours).is_our_turn
    assert not look(world, theirs, OTHER).is_our_turn
    with world.services.database.begin() as tx:
        sightings.give_turn_on(tx, attempt(world, ours))
    assert look(world, theirs, OTHER).is_our_turn


def test_where_pages_cost_time_a_run_waits_for_its_turn_with_its_last_batch_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "TURN_WORTH_IT", EACH)
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.001)
    ours, theirs = begun(world, world.iccids[:EACH], OWNER), begun(world, world.iccids[EACH:], OTHER)

    async def work() -> None:
        bench = bench_of(world, theirs, OTHER)
        await send_all(bench)
        assert look(world, ours).is_our_turn
        confirming = asyncio.create_task(confirm_all(bench))
        await asyncio.wait({confirming}, timeout=0.5)
        assert (confirming.done(), reads(world)) == (False, 0)
        with world.services.database.begin() as tx:
            sightings.give_turn_on(tx, attempt(world, ours))
        await confirming
        await bench.session.close()

    asyncio.run(work())

    assert verified(world) == EACH


def test_a_run_that_has_died_holds_nobody_up_longer_than_its_lease(world: World) -> None:
    ours, theirs = begun(world, world.iccids[:1], OWNER), begun(world, world.iccids[1:2], OTHER)
    assert look(world, ours).is_our_turn
    world.sql("UPDATE m2m.bulk_change SET lease_expires_at = clock_timestamp() WHERE id = %s", ours)

    assert look(world, theirs, OTHER).is_our_turn


def test_who_has_lost_the_lease_takes_no_turn_and_notes_nothing(world: World) -> None:
    ours = begun(world, world.iccids[:1], OWNER)
    lost = attempt(world, ours)
    world.sql("UPDATE m2m.device_change SET status = 'SENDING'")
    world.sql("UPDATE m2m.bulk_change SET lease_token = lease_token + 1")

    with world.services.database.begin() as tx, pytest.raises(LeaseLostError):
        sightings.look(tx, lost, [])
    with world.services.database.begin() as tx:
        now = sightings.look(tx, attempt(world, ours), []).at
        sightings.note(tx, lost, [DeviceReading(world.iccids[0], NEW, COMM_OLD)], now)

    assert world.count("sighting") == 0


def test_reconciliation_neither_waits_for_a_turn_nor_takes_one(world: World) -> None:
    ended, ours = begun(world, world.iccids[:1], OTHER), begun(world, world.iccids[1:2], OWNER)
    world.sql("UPDATE m2m.bulk_change SET status = 'PARTIAL' WHERE id = %s", ended)

    assert look(world, ended, OTHER).is_our_turn
    assert world.count("list_turn") == 0
    assert look(world, ours).is_our_turn
    assert look(world, ended, OTHER).is_our_turn


def test_runs_at_once_on_one_account_do_not_each_read_the_pages_of_all(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=RUNS * OF_A_RUN, calls_per_second=CALLS_PER_SECOND, in_flight=40))
    chosen = {f"run {number}": world.iccids[number::RUNS] for number in range(RUNS)}
    changes = {owner: world.submit(list(devices), batch_size=BATCH).bulk_change_id for owner, devices in chosen.items()}
    with ThreadPoolExecutor(RUNS) as threads:
        list(threads.map(world.run, changes.values(), changes))

    made = len(world.control.calls())
    assert reads(world) < RUNS * (RUNS * OF_A_RUN / 50)  # all pages, by each of them
    assert world.sql("SELECT sum(carrier_calls)::int FROM m2m.bulk_change") == [(made,)]
    for bulk_change_id in changes.values():
        evidence = world.evidence(bulk_change_id)
        i1_every_device_reaches_a_final_status(evidence)
        i2_at_most_one_change_and_no_blind_repeat(evidence)
        i3_the_status_agrees_with_carrier_and_amop(evidence)
        i4_every_device_is_audited(evidence)
        i7_only_legal_transitions(evidence)


def attempt(world: World, bulk_change_id: int, owner: str = OWNER) -> Attempt:
    """The attempt that holds the bulk change, as its rows have it."""
    ((tenant_id, token),) = world.sql(
        "SELECT tenant_id, lease_token FROM m2m.bulk_change WHERE id = %s", bulk_change_id
    )
    assert isinstance(tenant_id, int)
    assert isinstance(token, int)
    return Attempt(bulk_change_id, tenant_id, token, owner)


def look(world: World, bulk_change_id: int, owner: str = OWNER) -> sightings.Seen:
    with world.services.database.begin() as tx:
        return sightings.look(tx, attempt(world, bulk_change_id, owner), [])


def note(world: World, bulk_change_id: int, *readings: DeviceReading) -> None:
    with world.services.database.begin() as tx:
        now = sightings.look(tx, attempt(world, bulk_change_id), []).at
        sightings.note(tx, attempt(world, bulk_change_id), readings, now)
