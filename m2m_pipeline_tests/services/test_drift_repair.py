"""What is done about drift is the provider's policy, and never more than that."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from m2m_pipeline.domain.accounts import DriftPolicy
from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.domain.drift import DriftCause
from m2m_pipeline.services.accounts import ProviderSettings
from m2m_pipeline.services.drift.drifting import Found
from m2m_pipeline.services.drift.repair import repair
from m2m_pipeline.simulator.documents import Drift
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.services.planting import found, plant, read_alone
from m2m_pipeline_tests.world import COMM_NEW, NEW, OLD, TENANT, THIRD, Options, World

pytestmark = pytest.mark.usefixtures("quick_reads")


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world(Options(devices=20))


def find(world: World, policy: DriftPolicy) -> Found:
    provider = world.services.accounts.configure(TENANT, "att", ProviderSettings(drift=policy), "test")
    done = world.services.drifting.find(provider, full=True)
    assert done.stopped is None
    return done


def plans(world: World) -> list[tuple[object, ...]]:
    return world.sql("SELECT iccid, rate_plan, communication_plan FROM m2m.device ORDER BY iccid")


def test_by_default_drift_is_reported_and_nothing_else(world: World) -> None:
    plant(world, 2)
    before, changes = plans(world), world.count("bulk_change")

    done = find(world, world.provider.drift)

    assert world.provider.drift is DriftPolicy.REPORT
    assert done.drifted == 8
    assert (plans(world), world.count("bulk_change"), world.puts()) == (before, changes, 0)


def plans_of(world: World, *groups: Sequence[str]) -> list[set[object]]:
    """AMOP's rate plans of groups of devices."""
    shown = {iccid: plan for iccid, plan, _ in plans(world)}
    return [{shown[iccid] for iccid in group} for group in groups]


@pytest.mark.parametrize("policy", [DriftPolicy.FOLLOW, DriftPolicy.PROPOSE])
def test_nothing_is_repaired_by_a_pass_that_the_carrier_interrupts(
    make_world: MakeWorld, policy: DriftPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("m2m_pipeline.services.drift.checking.TOGETHER", 1)
    world = make_world(Options(devices=20, probe=0.05))
    plant(world, 2)
    provider = world.services.accounts.configure(TENANT, "att", ProviderSettings(drift=policy), "test")
    before, changes = plans(world), world.count("bulk_change")
    rule = world.trouble(Rule(name="outage", skip_calls=6))  # sign-in, list, tail, three devices alone

    broken = world.services.drifting.find(provider, full=True)

    assert broken.stopped is not None
    assert broken.drifted == 3
    assert (plans(world), world.count("bulk_change"), world.puts()) == (before, changes, 0)
    world.control.stop(rule)
    done = world.services.drifting.find(provider, full=True)
    assert done.stopped is None
    proposed = world.sql(
        "SELECT iccid FROM m2m.device_change WHERE bulk_change_id = ANY(%s)", list(done.repaired.waiting)
    )
    assert (done.repaired.followed, len(proposed)) == ((6, 0) if policy is DriftPolicy.FOLLOW else (0, 4))


def test_amop_follows_where_that_is_the_policy_and_an_entry_tells_of_each_device(world: World) -> None:
    planted = plant(world, 2)

    done = find(world, DriftPolicy.FOLLOW)

    assert done.repaired.followed == 6
    shown = {str(iccid): plan for iccid, plan, _ in plans(world)}
    assert {shown[iccid] for iccid in planted[DriftCause.MADE_OUTSIDE]} == {NEW}
    assert {shown[iccid] for iccid in planted[DriftCause.PLAN_UNKNOWN]} == {THIRD}
    assert {shown[iccid] for iccid in planted[DriftCause.DEVICE_NEW]} == {OLD}
    assert set(planted[DriftCause.DEVICE_GONE]) <= set(shown)
    assert {shown[iccid] for iccid in planted[DriftCause.CHANGE_IN_PROGRESS]} == {OLD}
    entries = world.sql("SELECT iccid, new_rate_plan FROM m2m.audit_entry WHERE kind = 'DRIFT_REPAIRED'")
    assert {str(iccid): plan for iccid, plan in entries} == {
        iccid: shown[iccid]
        for cause in (DriftCause.MADE_OUTSIDE, DriftCause.PLAN_UNKNOWN, DriftCause.DEVICE_NEW)
        for iccid in planted[cause]
    }
    assert world.puts() == 0
    assert find(world, DriftPolicy.FOLLOW).repaired.followed == 0


def test_amop_takes_over_no_plan_that_the_carrier_may_no_longer_show(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found by an earlier pass, and for which the last one had no room, is left to the next."""
    monkeypatch.setattr("m2m_pipeline.services.drift.checking.LEAST_CHECKS", 2)
    before, after = world.iccids[:2], world.iccids[2:4]
    for iccid in before:
        world.control.drift(iccid, Drift(rate_plan=NEW))
    find(world, DriftPolicy.REPORT)
    for iccid in (*before, *after):
        world.control.drift(iccid, Drift(rate_plan=THIRD))

    left = [(find(world, DriftPolicy.FOLLOW).repaired.followed, plans_of(world, before, after)) for _ in range(2)]

    assert left == [(2, [{OLD}, {THIRD}]), (2, [{THIRD}, {THIRD}])]


def test_what_has_not_been_modified_since_it_was_found_is_followed_by_the_next_pass(world: World) -> None:
    """As soon as that is the policy: such a device is not listed again before the next full pass."""
    world.control.drift(world.iccids[0], Drift(rate_plan=THIRD))
    find(world, DriftPolicy.REPORT)
    world.sql("UPDATE m2m.reconciliation_pass SET begun_at = begun_at + interval '6 minutes'")  # and its margin
    before = len(world.control.calls())

    done = world.services.drifting.find(replace(world.provider, drift=DriftPolicy.FOLLOW))

    assert (done.repaired.followed, read_alone(world, before)) == (1, [])


def test_amop_takes_over_no_device_that_a_neighbouring_provider_has_taken_meanwhile(world: World) -> None:
    world.sql("DELETE FROM m2m.device WHERE iccid = %s", world.iccids[0])
    assert find(world, DriftPolicy.REPORT).drifted == 1
    other = world.services.accounts.configure(TENANT, "other", world.provider_settings(), actor="test")
    world.services.accounts.import_devices(other, [DeviceReading(world.iccids[0], OLD, None)])

    done = repair(world.services.database, world.services.submission, replace(world.provider, drift=DriftPolicy.FOLLOW))

    assert done.followed == 0
    assert world.sql("SELECT service_provider_id FROM m2m.device WHERE iccid = %s", world.iccids[0]) == [(other.id,)]


def test_a_way_back_is_prepared_waits_for_a_person_and_brings_the_carrier_back(world: World) -> None:
    outside, both = world.iccids[0], world.iccids[1]
    world.control.drift(outside, Drift(rate_plan=THIRD))
    world.control.drift(both, Drift(rate_plan=THIRD, communication_plan=COMM_NEW))

    first = find(world, DriftPolicy.PROPOSE)
    again = find(world, DriftPolicy.PROPOSE)

    assert len(first.repaired.waiting) == 2
    assert again.repaired.waiting == first.repaired.waiting
    assert again.drifted == first.drifted == 2
    assert world.sql("SELECT DISTINCT status, requested_by FROM m2m.bulk_change") == [("NEW", "reconciliation")]
    assert world.puts() == 0
    for bulk_change_id in first.repaired.waiting:
        world.services.submission.process(TENANT, bulk_change_id, "tester")
        assert world.run(bulk_change_id).counts == {"PROCESSED": 1}
    shown = {device.iccid: (device.rate_plan, device.communication_plan) for device in world.control.devices()}
    assert shown[outside] == shown[both] == shown[world.iccids[2]]
    assert world.sql("SELECT DISTINCT old_rate_plan, rate_plan FROM m2m.device_change") == [(THIRD, OLD)]
    last = find(world, DriftPolicy.PROPOSE)
    assert (last.counts, last.repaired.waiting) == ({}, ())


def test_a_way_back_that_was_declined_is_not_prepared_again_until_the_device_drifts_anew(world: World) -> None:
    iccid = world.iccids[0]
    world.control.drift(iccid, Drift(rate_plan=THIRD))
    (declined,) = find(world, DriftPolicy.PROPOSE).repaired.waiting
    world.services.withdrawing.withdraw(TENANT, declined, "operator")

    again = find(world, DriftPolicy.PROPOSE)

    assert (again.drifted, again.repaired.waiting) == (1, ())
    world.control.drift(iccid, Drift(rate_plan=OLD))
    assert find(world, DriftPolicy.PROPOSE).counts == {}
    world.control.drift(iccid, Drift(rate_plan=THIRD))
    assert len(find(world, DriftPolicy.PROPOSE).repaired.waiting) == 1


def test_amop_follows_what_was_to_be_moved_back_once_that_is_declined(world: World) -> None:
    world.control.drift(world.iccids[0], Drift(rate_plan=THIRD))
    (prepared,) = find(world, DriftPolicy.PROPOSE).repaired.waiting
    held = find(world, DriftPolicy.FOLLOW)
    assert (held.drifted, held.repaired.followed, held.repaired.waiting) == (1, 0, (prepared,))

    world.services.withdrawing.withdraw(TENANT, prepared, "operator")

    done = find(world, DriftPolicy.FOLLOW)
    assert (done.counts, done.repaired.followed, done.repaired.waiting) == ({}, 1, ())


def test_a_way_back_that_cannot_be_prepared_is_said_so(world: World) -> None:
    world.control.drift(world.iccids[0], Drift(rate_plan=THIRD))
    world.sql("UPDATE m2m.carrier_rate_plan SET retired_at = now() WHERE name = %s", OLD)

    (problem,) = find(world, DriftPolicy.PROPOSE).repaired.problems

    assert OLD in problem
    assert world.count("bulk_change") == 0


def test_a_change_to_what_the_carrier_shows_already_still_tells_amop(world: World) -> None:
    world.control.drift(world.iccids[0], Drift(rate_plan=NEW))
    find(world, DriftPolicy.REPORT)

    document, evidence = world.submit_and_run(world.iccids[:1])

    assert document.counts == {"PROCESSED": 1}
    assert evidence.amop[world.iccids[0]][0] == NEW
    assert found(world)
    assert find(world, DriftPolicy.REPORT).counts == {}


@pytest.mark.parametrize("policy", [DriftPolicy.FOLLOW, DriftPolicy.PROPOSE])
def test_an_interrupted_pass_repairs_nothing(world: World, policy: DriftPolicy) -> None:
    plant(world, 2)
    find(world, DriftPolicy.REPORT)
    world.sql("UPDATE m2m.carrier_credential SET username = 'somebody else'")
    before, changes = plans(world), world.count("bulk_change")

    done = world.services.drifting.find(replace(world.provider, drift=policy), full=True)

    assert done.stopped
    assert (plans(world), world.count("bulk_change")) == (before, changes)
