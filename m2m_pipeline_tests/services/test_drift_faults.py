"""Trouble during a pass: no drift that is none, nothing missed for good, and the pass goes on where it was."""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import ceil

import pytest

from m2m_pipeline.bootstrap import Application
from m2m_pipeline.domain.drift import DriftCause
from m2m_pipeline.domain.passes import PassLostError
from m2m_pipeline.services.drift.drifting import Found
from m2m_pipeline.simulator.documents import Drift
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.services.planting import ABSENT, found, pages, plant, read_alone
from m2m_pipeline_tests.world import NEW, THIRD, Options, World

pytestmark = pytest.mark.usefixtures("quick_reads")

PAGES = 6
CALLS = 1 + PAGES + 1 + 4 * 2  # sign-in, list, tail, and two devices of each cause that is asked about


@pytest.fixture
def planted(make_world: MakeWorld) -> tuple[World, Mapping[DriftCause, Sequence[str]]]:
    world = make_world(Options(devices=50 * PAGES - 10, probe=0.05))
    return world, plant(world, 2)


def find(world: World) -> Found:
    return world.services.drifting.find(world.provider, full=True)


def exactly(planted: Mapping[DriftCause, Sequence[str]]) -> dict[DriftCause, list[str]]:
    return {cause: sorted(iccids) for cause, iccids in planted.items()}


@pytest.mark.parametrize("call", range(0, CALLS, 2))
def test_a_carrier_that_goes_away_at_any_call_interrupts_the_pass_and_nothing_else(
    planted: tuple[World, Mapping[DriftCause, Sequence[str]]], call: int
) -> None:
    world, drift = planted
    rule = world.trouble(Rule(name="outage", skip_calls=call))
    broken = find(world)
    assert broken.stopped is not None
    assert "Trying again may help" in broken.stopped
    assert broken.summary
    assert not broken.summary.done
    assert not broken.drifted or set(found(world)) <= set(drift)
    assert DriftCause.DEVICE_GONE not in broken.counts or set(found(world)[DriftCause.DEVICE_GONE]) <= set(
        drift[DriftCause.DEVICE_GONE]
    )
    world.control.stop(rule)
    listed = pages(world)

    done = find(world)

    assert done.summary
    assert done.summary.done
    assert found(world) == exactly(drift)
    assert world.count("reconciliation_pass") == 1
    assert pages(world) - listed <= PAGES + 3 - max(0, min(call - 1, PAGES))  # none is read twice


@pytest.mark.parametrize(
    "rule",
    [
        Rule(name="html_502", share=0.2, seed=3),
        Rule(name="truncated", share=0.2, seed=4),
        Rule(name="rate_limited", share=0.2, seed=5, retry_after_s=0),
        Rule(name="error500_not_applied", share=0.2, seed=6),
        Rule(name="reset_before", share=0.2, seed=7),
    ],
    ids=lambda rule: rule.name,
)
def test_calls_that_fail_now_and_then_make_no_drift(
    planted: tuple[World, Mapping[DriftCause, Sequence[str]]], rule: Rule
) -> None:
    world, drift = planted
    world.trouble(rule)

    assert any(find(world).stopped is None for _ in range(10))
    assert found(world) == exactly(drift)


def test_pages_that_move_while_they_are_read_cost_nothing_but_their_tail(
    planted: tuple[World, Mapping[DriftCause, Sequence[str]]],
) -> None:
    world, drift = planted
    world.trouble(Rule(name="list_moves", moved=5))

    assert find(world).stopped is None

    assert found(world) == exactly(drift)
    assert len(set(read_alone(world))) <= 4 * 2 + PAGES


def test_a_list_in_no_order_is_listed_again_rather_than_read_device_by_device(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=2_000))
    drift = plant(world, 2)
    world.trouble(Rule(name="list_unordered"))

    assert find(world).stopped is None

    assert {cause: sorted(iccids) for cause, iccids in found(world).items() if cause is not DriftCause.DEVICE_NEW} == {
        cause: iccids for cause, iccids in exactly(drift).items() if cause is not DriftCause.DEVICE_NEW
    }
    assert len(world.control.calls()) < 2_000 / 2


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("skew", [-200.0, 200.0])
def test_between_full_passes_a_wrong_clock_hides_nothing(world: World, skew: float, told: bool) -> None:
    world.trouble(Rule(name="clock_skew", skew_s=skew, told=told))
    find(world)
    world.control.drift(world.iccids[0], Drift(rate_plan=THIRD))

    done = world.services.drifting.find(world.provider)

    assert done.summary
    assert not done.summary.full
    assert done.counts == {DriftCause.MADE_OUTSIDE: 1}


def test_a_list_that_may_not_go_back_so_far_is_asked_for_a_year(world: World) -> None:
    world.control.drift(world.iccids[0], Drift(rate_plan=THIRD))
    world.trouble(Rule(name="unknown_code", methods=frozenset({"GET"}), skip_calls=1, calls=1))

    done = find(world)

    assert done.stopped is None
    assert done.counts == {DriftCause.MADE_OUTSIDE: 1}


def test_an_empty_list_is_no_empty_account(make_world: MakeWorld) -> None:
    """The carrier may filter, or forget: only what it says of a device itself makes it gone."""
    world = make_world(Options(devices=60))
    world.sql("CREATE FUNCTION public.none() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$")
    world.sql("CREATE TRIGGER none BEFORE INSERT ON m2m.carrier_listing FOR EACH ROW EXECUTE FUNCTION public.none()")
    # Nothing that is listed is kept, as if every page had been empty.

    done = find(world)

    assert done.counts == {}


def test_of_a_device_that_the_carrier_does_not_tell_about_nothing_is_concluded(make_world: MakeWorld) -> None:
    """Neither that it is fine nor that it is not: it waits for the next pass, and its record stays."""
    world = make_world(Options(devices=4))
    gone, moved, *_ = ABSENT[0], *world.iccids
    world.import_devices([gone])
    assert find(world).counts == {DriftCause.DEVICE_GONE: 1}
    world.control.drift(moved, Drift(rate_plan=THIRD))
    rule = world.trouble(Rule(name="unknown_code", methods=frozenset({"GET"}), iccids=frozenset({gone, moved})))

    done = find(world)

    assert (done.stopped, done.counts, done.resolved) == (None, {DriftCause.DEVICE_GONE: 1}, 0)
    assert done.summary
    assert (done.summary.listed, done.summary.checked, done.summary.unchecked) == (4, 2, 2)
    world.control.stop(rule)
    assert find(world).counts == {DriftCause.DEVICE_GONE: 1, DriftCause.MADE_OUTSIDE: 1}


def test_a_change_that_ends_between_list_and_check_is_no_drift(world: World) -> None:
    """The list shows the old plan, AMOP the new one: the device is asked about, and shows the new one."""
    world.trouble(Rule(name="outage", skip_calls=3))  # after sign-in, list and tail
    find(world)
    world.control.stop_all()
    world.submit_and_run()

    assert find(world).counts == {}


def test_two_processes_do_not_work_on_one_pass(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=400))
    world.control.set_latency(30, 30)
    others = [world.application() for _ in range(2)]

    def find_in(app: Application) -> Found:
        return app.drifting.find(world.provider, full=True)

    with ThreadPoolExecutor() as pool:
        done = list(pool.map(find_in, others))
    for app in others:
        app.close()

    assert sorted(one.stopped is None for one in done) == [False, True]
    assert world.count("reconciliation_pass") == 1
    assert pages(world) <= ceil(400 / 50) + 8


def test_a_process_that_was_thought_dead_writes_nothing_more(world: World) -> None:
    world.sql(
        "CREATE FUNCTION public.steal() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " UPDATE m2m.reconciliation_pass SET lease_owner = 'another'; RETURN NULL; END $$"
    )
    world.sql("CREATE TRIGGER steal AFTER INSERT ON m2m.carrier_listing EXECUTE FUNCTION public.steal()")

    with pytest.raises(PassLostError, match="no longer this process's"):
        find(world)
    assert world.sql("SELECT lease_owner, phase FROM m2m.reconciliation_pass") == [("another", "LISTING")]


def test_a_bulk_change_is_not_starved(make_world: MakeWorld) -> None:
    """Beside a change, a pass takes its share of the account's calls, by the carrier's own ledger."""
    rate, share = 40, 0.2
    world = make_world(Options(devices=600, calls_per_second=rate, in_flight=4))
    bulk_change_id = world.submit(world.iccids[:160], batch_size=160).bulk_change_id
    (batch,) = world.prepare(bulk_change_id)
    passing = world.application()
    thread = threading.Thread(target=lambda: passing.drifting.find(world.provider, full=True))
    before = len(world.control.calls())
    thread.start()
    world.services.execution.change_devices(batch, "run-1", read_ahead=False)
    during = world.control.calls(before)
    world.services.execution.update_amop(batch, "run-1")
    world.services.execution.finalize(bulk_change_id, "run-1")
    thread.join()
    passing.close()

    puts = [call.start for call in during if call.method == "PUT"]
    seconds = max(puts) - min(puts)
    beside = sum(call.method == "GET" and min(puts) < call.start < max(puts) for call in during)
    assert 1 <= beside <= share * rate * seconds + 2
    assert seconds <= len(puts) / rate / (1 - share) * 1.25
    assert world.sql("SELECT DISTINCT rate_plan FROM m2m.device WHERE iccid = ANY(%s)", list(world.iccids[:160])) == [
        (NEW,)
    ]
    assert max(world.control.summary().max_calls_in_a_second.values()) <= rate


def test_a_pass_that_cannot_be_given_back_still_tells_what_stopped_it(
    planted: tuple[World, Mapping[DriftCause, Sequence[str]]],
) -> None:
    world, _ = planted
    world.trouble(Rule(name="outage", skip_calls=2))
    world.sql(
        "CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$; "
        "CREATE TRIGGER no BEFORE UPDATE ON m2m.reconciliation_pass FOR EACH ROW WHEN (NEW.lease_owner IS NULL) "
        "EXECUTE FUNCTION public.no()"
    )

    assert "Trying again may help" in str(find(world).stopped)
