"""The carrier goes away: shorter than the patience costs time only, longer ends the run without a guess."""

import pytest

from m2m_pipeline.carriers.http import Timeouts
from m2m_pipeline.carriers.jasper.adapter import JasperCarrier
from m2m_pipeline.domain.accounts import Credential, ServiceProvider
from m2m_pipeline.domain.budget.breaker import SILENT_IN_A_ROW
from m2m_pipeline.domain.carrier import Carrier, Leave, PlanChange, at_once
from m2m_pipeline.domain.outcome import Answer, ChangeOutcome, Unreachable
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline.local.ports import free_port
from m2m_pipeline.services.accounts import ProviderSettings
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import NEW, OLD, OWNER, PROVIDER, TENANT, Options, QuickCarriers, World

pytestmark = pytest.mark.usefixtures("quick_reads")

PUT = frozenset({"PUT"})
GET = frozenset({"GET"})


def run_through(world: World, rule: Rule, batch_size: int, *, read_ahead: bool = False) -> int:
    """Prepare, let the trouble begin, and go on to the end; the bulk change."""
    bulk_change_id = world.submit(batch_size=batch_size).bulk_change_id
    batches = world.prepare(bulk_change_id)
    world.trouble(rule)
    for batch in batches:
        world.drive(batch, read_ahead=read_ahead)
    world.services.execution.finalize(bulk_change_id, OWNER)
    return bulk_change_id


@pytest.mark.parametrize("scenario", ["outage", "html_502", "burst_503"])
@pytest.mark.parametrize("methods", [None, PUT], ids=["all calls", "changes alone"])
def test_an_outage_shorter_than_the_patience_costs_no_device_the_change_or_an_attempt(
    make_world: MakeWorld, scenario: str, methods: frozenset[str] | None
) -> None:
    world = make_world(Options(devices=30, patience=20.0, in_flight=3))
    evidence = world.evidence(run_through(world, Rule(name=scenario, methods=methods, lasts_s=2.0), batch_size=30))

    assert {(row.status, row.attempts) for row in evidence.rows} == {("PROCESSED", 1)}
    in_vain = len(evidence.puts()) - len(evidence.rows)
    assert in_vain <= SILENT_IN_A_ROW + (2.0 / world.options.probe + 1) * world.options.in_flight
    check_all(evidence)


@pytest.mark.parametrize("scenario", ["outage", "html_502"])
@pytest.mark.parametrize("methods", [None, PUT], ids=["all calls", "changes alone"])
def test_an_outage_in_a_change_of_single_devices_costs_nobody_the_change(
    make_world: MakeWorld, scenario: str, methods: frozenset[str] | None
) -> None:
    """So few calls at a time are hardly enough to tell an outage from a device that is in trouble alone."""
    world = make_world(Options(devices=4, patience=20.0, in_flight=3, settle=0.3))
    rule = Rule(name=scenario, methods=methods, lasts_s=2.0)
    evidence = world.evidence(run_through(world, rule, batch_size=1, read_ahead=True))

    assert set(evidence.statuses().values()) == {"PROCESSED"}
    check_all(evidence)


def test_an_outage_after_the_last_change_costs_no_device_its_confirmation(make_world: MakeWorld) -> None:
    """It lasts longer than a read takes to find the breaker open and give up."""
    world = make_world(Options(devices=30, patience=20.0, in_flight=3, probe=2.0))
    evidence = world.evidence(run_through(world, Rule(name="html_502", methods=GET, lasts_s=2.0), batch_size=30))

    assert {(row.status, row.attempts) for row in evidence.rows} == {("PROCESSED", 1)}
    assert len(evidence.puts()) == len(evidence.rows)
    check_all(evidence)


def test_an_account_that_lets_nobody_in_while_claims_are_confirmed_is_not_asked_for_ever(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=8, in_flight=2))
    evidence = world.evidence(run_through(world, Rule(name="key_revoked", methods=GET), batch_size=4))

    assert (evidence.bulk.status, evidence.bulk.reason) == (BulkChangeStatus.PARTIAL, "CARRIER_SIGN_IN_REFUSED")
    assert list(evidence.statuses().values()) == [*["UNCONFIRMED"] * 4, *["REFUSED"] * 4]
    assert {len(evidence.reads(iccid)) for iccid in world.iccids[:4]} == {1}
    check_all(evidence)


def test_a_carrier_that_answers_reads_and_no_change_is_given_up_after_the_patience(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=30, patience=1.5, in_flight=3))
    evidence = world.evidence(run_through(world, Rule(name="html_502", methods=PUT), batch_size=15))

    assert evidence.bulk.status == BulkChangeStatus.FAILED
    ends = {(row.status, row.reason, row.attempts) for row in evidence.rows}
    assert ends == {("REFUSED", "CARRIER_UNREACHABLE", 0)}
    ((outage_began,),) = world.sql("SELECT open_since FROM m2m.carrier_gate")
    lost = [call.wall for call in evidence.puts()]
    assert float(str(outage_began)) < (lost[0] + lost[-1]) / 2, "at the first opening, not at the last"
    check_all(evidence)


def test_a_device_for_which_the_gate_is_always_closed_is_given_up_after_the_patience(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=4, patience=1.0, in_flight=2))
    victim = frozenset({world.iccids[1]})
    evidence = world.evidence(run_through(world, Rule(name="burst_503", iccids=victim, methods=PUT), batch_size=4))

    assert sorted(evidence.statuses().values()) == ["PROCESSED", "PROCESSED", "PROCESSED", "REFUSED"]
    assert evidence.row(world.iccids[1]).reason == "CARRIER_UNREACHABLE"
    check_all(evidence)


def test_an_outage_longer_than_the_patience_ends_the_run_without_a_guess(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=60, patience=0.5, in_flight=3))
    evidence = world.evidence(run_through(world, Rule(name="outage", skip_calls=10), batch_size=60))

    assert evidence.bulk.status in {BulkChangeStatus.PARTIAL, BulkChangeStatus.FAILED}
    assert evidence.bulk.reason == "CARRIER_UNREACHABLE"
    assert "PROCESSED" not in evidence.statuses().values()
    assert {plans[0] for plans in evidence.amop.values()} == {OLD}
    sent = {call.iccid for call in evidence.puts()}
    for row in evidence.rows:
        expected = ("UNCONFIRMED", "OUTCOME_UNKNOWN") if row.iccid in sent else ("REFUSED", "CARRIER_UNREACHABLE")
        assert (row.status, row.reason) == expected
    check_all(evidence)


def test_a_carrier_that_takes_no_connection_costs_no_device_an_attempt(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=8, patience=0.3))
    bulk_change_id = world.submit(batch_size=8).bulk_change_id
    (batch,) = world.prepare(bulk_change_id)
    nowhere = ProviderSettings(base_url=f"http://127.0.0.1:{free_port()}")
    world.services.accounts.configure(TENANT, PROVIDER, nowhere, actor="test")
    world.drive(batch)
    document = world.services.execution.finalize(bulk_change_id, OWNER)

    assert document.status is BulkChangeStatus.FAILED
    rows = world.evidence(bulk_change_id).rows
    assert {(row.status, row.reason, row.attempts) for row in rows} == {("REFUSED", "CARRIER_UNREACHABLE", 0)}
    assert not world.puts()


def test_a_long_outage_stops_the_batches_that_are_to_come(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=6, patience=0.3))
    evidence = world.evidence(run_through(world, Rule(name="outage"), batch_size=1))

    assert evidence.bulk.reason == "CARRIER_UNREACHABLE"
    assert list(evidence.statuses().values()) == ["UNCONFIRMED", *["REFUSED"] * 5]
    assert len(evidence.puts()) == 1
    check_all(evidence)


def test_an_account_that_is_over_its_limit_for_ever_is_given_up_after_the_patience(make_world: MakeWorld) -> None:
    """The patience is the run's: it does not last until each device has been turned away once."""
    world = make_world(Options(devices=40, patience=0.5, in_flight=3))
    rule = Rule(name="rate_limited", methods=PUT, retry_after_s=1)
    evidence = world.evidence(run_through(world, rule, batch_size=40))

    assert evidence.bulk.status == BulkChangeStatus.FAILED
    ends = {(row.status, row.reason, row.attempts) for row in evidence.rows}
    assert ends == {("REFUSED", "CARRIER_RATE_LIMITED", 0)}
    assert len(evidence.puts()) < len(evidence.rows)
    check_all(evidence)


def test_a_tightened_limit_slows_the_run_and_loses_nobody(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=6, patience=0.5, in_flight=3))
    evidence = world.evidence(
        run_through(world, Rule(name="limit_tightened", calls_per_second=2, lasts_s=2.0), batch_size=6)
    )

    assert set(evidence.statuses().values()) == {"PROCESSED"}
    assert {row.attempts for row in evidence.rows} == {1}


class _BehindAGateway(JasperCarrier):
    """Its PUTs meet a gateway that answers 405 in a page of its own."""

    async def change_plan(self, change: PlanChange, leave: Leave = at_once) -> ChangeOutcome:
        await leave()
        del change
        return Unreachable(Answer(405, message="HTTP 405 without an error"), ReasonCode.CARRIER_UNREACHABLE)


class _Gateways(QuickCarriers):
    def open(self, provider: ServiceProvider, credential: Credential) -> Carrier:
        return _BehindAGateway(provider.base_url, credential, provider.in_flight, Timeouts())


def test_a_gateway_that_turns_every_call_away_is_not_asked_for_ever(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=4, patience=0.5), carriers=_Gateways())
    document, evidence = world.submit_and_run(batch_size=4)

    assert document.status is BulkChangeStatus.FAILED
    assert {row.status for row in evidence.rows} == {"REFUSED"}
    assert NEW not in {plans[0] for plans in evidence.amop.values()}
