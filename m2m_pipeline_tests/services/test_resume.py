"""An attempt dies, or its lease is taken: the next one reads back what may have happened and repeats nothing."""

import pytest

from m2m_pipeline.carriers.jasper.adapter import JasperCarrier
from m2m_pipeline.domain.accounts import Credential, ServiceProvider
from m2m_pipeline.domain.attempt import LeaseLostError, NothingToDoError
from m2m_pipeline.domain.carrier import Carrier, Leave, PlanChange, at_once
from m2m_pipeline.domain.outcome import ChangeOutcome
from m2m_pipeline.domain.problems import RequestRejectedError
from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import NEW, OLD, OWNER, Options, QuickCarriers, World

pytestmark = pytest.mark.usefixtures("quick_reads", "quick_places")

SECOND = "run-2"


class PowerCutError(Exception):
    """Stands for the end of the process."""


class _Dying(JasperCarrier):
    """The process dies at the call for one device: before it leaves, or after the carrier has acted."""

    victim = ""
    before = False

    async def change_plan(self, change: PlanChange, leave: Leave = at_once) -> ChangeOutcome:
        if change.iccid == self.victim and self.before:
            raise PowerCutError
        outcome = await super().change_plan(change, leave)
        if change.iccid == self.victim:
            raise PowerCutError
        return outcome


class DyingCarriers(QuickCarriers):
    """Carriers in a process that dies at the call for `victim`."""

    def __init__(self, victim: str, *, before: bool) -> None:
        super().__init__()
        self._victim, self._before = victim, before

    def open(self, provider: ServiceProvider, credential: Credential) -> Carrier:
        carrier = _Dying(provider.base_url, credential, provider.in_flight, self._timeouts)
        carrier.victim, carrier.before = self._victim, self._before
        return carrier


def expire_lease(world: World) -> None:
    """As if the owner had been silent for long."""
    world.sql("UPDATE m2m.bulk_change SET lease_expires_at = clock_timestamp() - interval '1 s'")


@pytest.mark.parametrize("before", [True, False], ids=["before the call left", "after the carrier acted"])
def test_a_device_whose_attempt_died_in_its_call_is_read_back_and_never_blindly_sent_again(
    make_world: MakeWorld, before: bool
) -> None:
    world = make_world(Options(devices=5, in_flight=1))
    victim = world.iccids[2]
    bulk_change_id = world.submit(batch_size=5).bulk_change_id
    (batch,) = world.prepare(bulk_change_id)
    healthy = world.services
    world.services = world.application(carriers=DyingCarriers(victim, before=before))
    with pytest.raises(PowerCutError):
        world.services.execution.change_devices(batch, OWNER)
    world.services.close()
    world.services = healthy
    assert world.evidence(bulk_change_id).row(victim).status == "SENDING"

    expire_lease(world)
    document = world.run(bulk_change_id, SECOND)
    evidence = world.evidence(bulk_change_id)

    assert document.status is BulkChangeStatus.PROCESSED
    assert len(evidence.puts(victim)) == 1
    assert len(evidence.puts()) == 5
    check_all(evidence)


def test_many_calls_cut_in_flight_are_each_read_back_and_keep_their_places_for_a_while(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=20, in_flight=8))
    world.control.set_latency(30, 60)
    bulk_change_id = world.submit(batch_size=20).bulk_change_id
    (batch,) = world.prepare(bulk_change_id)
    healthy = world.services
    world.services = world.application(carriers=DyingCarriers(world.iccids[7], before=False))
    with pytest.raises(PowerCutError):
        world.services.execution.change_devices(batch, OWNER)
    world.services.close()
    world.services = healthy
    assert world.count("carrier_call") in range(1, world.options.in_flight + 1)
    expire_lease(world)
    document = world.run(bulk_change_id, SECOND)

    assert document.status is BulkChangeStatus.PROCESSED
    check_all(world.evidence(bulk_change_id))


@pytest.mark.parametrize("step", ["validate", "details", "sign in", "plan", "carrier", "amop", "audit"])
def test_a_run_that_ends_after_any_step_is_taken_up_by_the_next(world: World, step: str) -> None:
    bulk_change_id = world.submit(batch_size=2).bulk_change_id
    steps = {
        "validate": lambda: world.services.execution.validate_request(bulk_change_id, OWNER),
        "details": lambda: world.services.execution.build_change_details(bulk_change_id, OWNER),
        "sign in": lambda: world.services.execution.authenticate_carrier(bulk_change_id, OWNER),
        "plan": lambda: world.services.execution.plan_batches(bulk_change_id, OWNER),
        "carrier": lambda: world.services.execution.change_devices(
            world.services.execution.plan_batches(bulk_change_id, OWNER)[0], OWNER
        ),
        "amop": lambda: world.services.execution.update_amop(
            world.services.execution.plan_batches(bulk_change_id, OWNER)[0], OWNER
        ),
        "audit": lambda: world.services.execution.write_audit(
            world.services.execution.plan_batches(bulk_change_id, OWNER)[0], OWNER
        ),
    }
    for name, run in steps.items():
        run()
        if name == step:
            break
    expire_lease(world)
    document = world.run(bulk_change_id, SECOND)
    evidence = world.evidence(bulk_change_id)

    assert document.status is BulkChangeStatus.PROCESSED
    assert len(evidence.puts()) == 3
    check_all(evidence)


def test_another_run_may_not_work_on_a_bulk_change_that_is_worked_on(world: World) -> None:
    bulk_change_id = world.submit().bulk_change_id
    first, *_ = world.prepare(bulk_change_id)
    calls = len(world.control.calls())

    with pytest.raises(NothingToDoError, match=f"is being worked on by run {OWNER}"):
        world.services.execution.change_devices(first, SECOND)
    assert len(world.control.calls()) == calls


def test_a_run_that_lost_its_lease_stops_and_writes_nothing(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=30, in_flight=1, calls_per_second=10.0, lease=2.0))
    bulk_change_id = world.submit(batch_size=30).bulk_change_id
    (batch,) = world.prepare(bulk_change_id)
    world.sql(
        """
        CREATE FUNCTION public.steal() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE m2m.bulk_change SET lease_token = lease_token + 1, lease_owner = 'thief'
            WHERE id = NEW.bulk_change_id;
            RETURN NULL;
        END $$;
        """
    )
    world.sql(
        "CREATE TRIGGER steal AFTER UPDATE ON m2m.device_change FOR EACH ROW "
        "WHEN (NEW.row_number = 5 AND NEW.status = 'SENDING') EXECUTE FUNCTION public.steal()"
    )
    with pytest.raises(LeaseLostError):
        world.services.execution.change_devices(batch, OWNER)
    evidence = world.evidence(bulk_change_id)

    assert evidence.row(world.iccids[4]).status == "SENDING"
    assert {evidence.row(iccid).status for iccid in world.iccids[5:]} == {"PENDING"}
    assert len(evidence.puts()) <= 5


def test_a_plan_that_is_retired_before_the_run_rejects_the_request_unsent(world: World) -> None:
    bulk_change_id = world.submit().bulk_change_id
    world.sql("UPDATE m2m.carrier_rate_plan SET retired_at = clock_timestamp() WHERE name = %s", NEW)
    with pytest.raises(RequestRejectedError):
        world.run(bulk_change_id)
    evidence = world.evidence(bulk_change_id)

    assert evidence.bulk.status == BulkChangeStatus.REJECTED
    assert {row.reason for row in evidence.rows} == {"RATE_PLAN_UNKNOWN"}
    assert not evidence.calls
    check_all(evidence)


def test_a_bulk_change_of_which_a_part_was_sent_is_never_called_rejected(world: World) -> None:
    bulk_change_id = world.submit().bulk_change_id
    first, *_ = world.prepare(bulk_change_id)
    world.drive(first)
    world.sql("UPDATE m2m.carrier_rate_plan SET retired_at = clock_timestamp() WHERE name = %s", NEW)
    expire_lease(world)
    document = world.run(bulk_change_id, SECOND)
    evidence = world.evidence(bulk_change_id)

    assert document.status is BulkChangeStatus.PARTIAL
    assert document.counts == {"PROCESSED": 1, "REFUSED": 2}
    assert len(evidence.puts()) == 1
    check_all(evidence)


def test_a_request_that_no_longer_holds_still_has_its_sent_devices_read_back(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=3, in_flight=1))
    bulk_change_id = world.submit(batch_size=3).bulk_change_id
    (batch,) = world.prepare(bulk_change_id)
    healthy = world.services
    world.services = world.application(carriers=DyingCarriers(world.iccids[1], before=False))
    with pytest.raises(PowerCutError):
        world.services.execution.change_devices(batch, OWNER)
    world.services.close()
    world.services = healthy
    world.sql("UPDATE m2m.carrier_rate_plan SET retired_at = clock_timestamp() WHERE name = %s", NEW)
    expire_lease(world)
    document = world.run(bulk_change_id, SECOND)
    evidence = world.evidence(bulk_change_id)

    assert document.counts == {"PROCESSED": 2, "REFUSED": 1}
    assert len(evidence.puts()) == 2
    check_all(evidence)


def test_a_device_that_is_read_back_in_a_later_attempt_is_not_told_as_ended_before(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=1))
    iccid = world.iccids[0]
    bulk_change_id = world.submit().bulk_change_id
    (batch,) = world.prepare(bulk_change_id)
    world.trouble(Rule(name="applied_then_reset"))
    world.trouble(Rule(name="html_502", methods=frozenset({"GET"}), iccids=frozenset({iccid})))
    world.services.execution.change_devices(batch, OWNER)
    assert world.evidence(bulk_change_id).row(iccid).status == "UNCONFIRMED"
    world.control.stop_all()
    expire_lease(world)
    document = world.run(bulk_change_id, SECOND)
    evidence = world.evidence(bulk_change_id)

    assert document.status is BulkChangeStatus.PROCESSED
    assert "DEVICE_ENDED" not in {entry.kind for entry in evidence.entries(iccid)}
    assert len(evidence.puts()) == 1
    check_all(evidence)
    assert evidence.amop[iccid][0] != OLD
