"""One device in trouble among four: it ends truthfully, and the others do not notice."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from m2m_pipeline.domain.budget.adaptation import HOLD_SECONDS
from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline.simulator.documents import Drift
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.evidence import Evidence
from m2m_pipeline_tests.invariants import blind_repeats, check_all
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import OLD, THIRD, Options, World

pytestmark = pytest.mark.usefixtures("quick_reads")

PUT = frozenset({"PUT"})
GET = frozenset({"GET"})


@dataclass(frozen=True)
class Case:
    """A scenario that strikes the first call, and how the device must end."""

    scenario: str
    status: str
    reason: str | None
    puts: int
    attempts: int


CASES = (
    Case("applied_then_reset", "PROCESSED", None, puts=1, attempts=1),
    Case("applied_then_silence", "PROCESSED", None, puts=1, attempts=1),
    Case("error500_applied", "PROCESSED", None, puts=1, attempts=1),
    Case("slow_drip", "PROCESSED", None, puts=1, attempts=1),
    Case("truncated", "PROCESSED", None, puts=1, attempts=1),
    Case("oversized", "PROCESSED", None, puts=1, attempts=1),
    Case("accepted_202_applied_later", "PROCESSED", None, puts=1, attempts=1),
    Case("reset_before", "PROCESSED", None, puts=2, attempts=2),
    Case("hang", "PROCESSED", None, puts=2, attempts=2),
    Case("outage", "PROCESSED", None, puts=2, attempts=2),
    Case("error500_not_applied", "PROCESSED", None, puts=2, attempts=2),
    Case("html_502", "PROCESSED", None, puts=2, attempts=2),
    Case("burst_503", "PROCESSED", None, puts=2, attempts=1),
    Case("blank_iccid", "PROCESSED", None, puts=2, attempts=2),
    Case("foreign_iccid", "PROCESSED", None, puts=2, attempts=2),
    Case("rate_limited", "PROCESSED", None, puts=2, attempts=1),
    Case("ok_not_applied", "REFUSED", "ACCEPTED_NOT_APPLIED", puts=1, attempts=1),
    Case("device_refused", "REFUSED", "CARRIER_REFUSED", puts=1, attempts=1),
    Case("unknown_code", "REFUSED", "CARRIER_REFUSED", puts=1, attempts=1),
    Case("latin1_error", "REFUSED", "CARRIER_DEVICE_UNKNOWN", puts=1, attempts=1),
    Case("device_transferred", "REFUSED", "CARRIER_DEVICE_UNKNOWN", puts=1, attempts=1),
)


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world(Options(devices=4, in_flight=2))


def run_with(world: World, *rules: Rule, **fields: object) -> Evidence:
    for rule in rules:
        world.trouble(rule)
    return world.submit_and_run(batch_size=4, **fields)[1]


def test_each_device_in_its_own_trouble_ends_truthfully_and_the_others_do_not_notice(make_world: MakeWorld) -> None:
    # Silent calls keep both places for 45 s; if the next call then is in trouble itself, less patience is at an end.
    world = make_world(Options(devices=3 * len(CASES), in_flight=2, patience=60))
    victims = dict(zip(world.iccids[::3], CASES, strict=True))  # most calls are answered: the account is in no trouble
    for iccid, case in victims.items():
        world.trouble(
            Rule(
                name=case.scenario,
                iccids=frozenset({iccid}),
                methods=PUT,
                calls_per_device=1,
                delay_s=0.0,
                interval_s=0.01,
                size_mb=2,
            )
        )
    _, evidence = world.submit_and_run(batch_size=len(world.iccids))

    ends = [
        Case(case.scenario, row.status, row.reason, puts=len(evidence.puts(iccid)), attempts=row.attempts)
        for iccid, case in victims.items()
        for row in [evidence.row(iccid)]
    ]
    assert ends == list(CASES)
    others = [row for row in evidence.rows if row.iccid not in victims]
    assert {(row.status, row.attempts) for row in others} == {("PROCESSED", 1)}
    check_all(evidence)


def test_a_gateway_that_says_when_to_come_back_costs_no_attempt(world: World) -> None:
    victim = frozenset({world.iccids[0]})
    evidence = run_with(world, Rule(name="burst_503", iccids=victim, methods=PUT, calls_per_device=1, retry_after_s=1))

    row = evidence.row(world.iccids[0])
    assert (row.status, row.attempts) == ("PROCESSED", 1)
    assert not blind_repeats(replace(evidence, calls=evidence.puts())), "it surely had no effect"
    first, second = evidence.puts(row.iccid)
    assert second.start - first.start >= 0.95
    check_all(evidence)


def test_a_gateway_that_is_closed_and_says_no_more_lets_the_account_rest_and_costs_no_attempt(
    make_world: MakeWorld,
) -> None:
    world = make_world(Options(devices=4, in_flight=1))
    evidence = run_with(world, Rule(name="burst_503", iccids=frozenset({world.iccids[0]}), methods=PUT, calls=1))

    row = evidence.row(world.iccids[0])
    assert (row.status, row.attempts) == ("PROCESSED", 1)
    (turned_away,) = [call for call in evidence.calls if call.status == 503]
    assert turned_away.end is not None
    later = [call.start for call in evidence.calls if call.n > turned_away.n]
    assert min(later) - turned_away.end >= 0.9 * HOLD_SECONDS
    check_all(evidence)
    unread = replace(evidence, calls=evidence.puts())
    assert blind_repeats(unread), "the invariant would see a change that is sent again without a reading"


@pytest.mark.parametrize("scenario", ["rate_limited", "error500_not_applied"])
def test_a_code_in_a_503_that_says_when_to_come_back_lets_the_whole_account_rest(
    make_world: MakeWorld, scenario: str
) -> None:
    world = make_world(Options(devices=4, in_flight=1))
    rule = Rule(name=scenario, iccids=frozenset({world.iccids[0]}), methods=PUT, calls=1, status=503, retry_after_s=2)
    evidence = run_with(world, rule)

    row = evidence.row(world.iccids[0])
    assert (row.status, row.attempts) == ("PROCESSED", 1)
    (turned_away,) = [call for call in evidence.calls if call.status == 503]
    assert turned_away.end is not None
    later = [call.start for call in evidence.calls if call.n > turned_away.n]
    assert min(later) - turned_away.end >= 1.9
    check_all(evidence)


@pytest.mark.parametrize("scenario", ["error500_not_applied", "blank_iccid", "html_502"])
def test_a_call_that_never_takes_effect_is_given_up_after_three_attempts(world: World, scenario: str) -> None:
    victim = world.iccids[2]
    evidence = run_with(world, Rule(name=scenario, iccids=frozenset({victim}), methods=PUT))

    row = evidence.row(victim)
    assert (row.status, row.reason, row.attempts) == ("REFUSED", "ATTEMPTS_EXHAUSTED", 3)
    assert len(evidence.puts(victim)) == 3
    check_all(evidence)


@pytest.mark.parametrize("verify", ["pages", "each"])
def test_a_claim_that_the_carrier_does_not_keep_is_not_told_to_amop(world: World, verify: str) -> None:
    world.sql("UPDATE m2m.service_provider SET verify = %s", verify)
    evidence = run_with(world, Rule(name="ok_not_applied"))

    assert {row.reason for row in evidence.rows} == {"ACCEPTED_NOT_APPLIED"}
    assert {plans[0] for plans in evidence.amop.values()} == {OLD}
    assert evidence.bulk.status == BulkChangeStatus.FAILED
    check_all(evidence)


def test_a_change_that_is_only_accepted_and_never_made_is_not_called_done(world: World) -> None:
    victim = world.iccids[0]
    evidence = run_with(world, Rule(name="accepted_202_never", iccids=frozenset({victim})))

    assert evidence.row(victim).status in {"REFUSED", "UNCONFIRMED"}
    assert evidence.amop[victim][0] == OLD
    check_all(evidence)


@pytest.mark.parametrize("verify", ["pages", "each", "none"])
def test_a_change_that_is_made_after_the_settle_time_is_not_called_refused(world: World, verify: str) -> None:
    world.sql("UPDATE m2m.service_provider SET verify = %s", verify)
    evidence = run_with(world, Rule(name="accepted_202_applied_later", delay_s=1.0))

    assert {row.status for row in evidence.rows} == {"UNCONFIRMED"}
    assert len(evidence.puts()) == 4


def test_a_third_plan_at_the_carrier_is_a_conflict_and_not_sent_again(world: World) -> None:
    victim = world.iccids[0]
    world.import_devices([victim], THIRD)  # AMOP is wrong about it
    rule = Rule(name="error500_not_applied", iccids=frozenset({victim}), methods=PUT)
    evidence = run_with(world, rule)

    row = evidence.row(victim)
    assert (row.status, row.reason) == ("REFUSED", "PLAN_CONFLICT")
    assert len(evidence.puts(victim)) == 1
    assert OLD in str(row.message)
    check_all(evidence)


def test_a_stale_inventory_does_not_turn_a_change_under_way_into_a_conflict(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=1, settle=0.5))
    world.import_devices(world.iccids, THIRD)  # AMOP is wrong about it: the carrier has OLD
    evidence = run_with(world, Rule(name="accepted_202_applied_later", delay_s=0.2))

    assert evidence.row(world.iccids[0]).status == "PROCESSED"
    check_all(evidence)


def test_a_device_whose_old_plan_nobody_knows_is_changed_all_the_same(world: World) -> None:
    world.sql("DELETE FROM m2m.device")
    world.import_devices(world.iccids, None)
    made, not_seen, not_made, _ = world.iccids
    evidence = run_with(
        world,
        Rule(name="applied_then_reset", iccids=frozenset({made})),
        Rule(name="reset_before", iccids=frozenset({not_seen}), methods=PUT, calls=1),
        Rule(name="ok_not_applied", iccids=frozenset({not_made})),
    )

    assert set(evidence.statuses().values()) == {"PROCESSED", "REFUSED"}
    assert evidence.row(not_made).reason == "ACCEPTED_NOT_APPLIED"
    # What it was before is known where a reading has shown it.
    assert [row.old_rate_plan for row in evidence.rows] == [None, OLD, OLD, None]
    check_all(evidence)


def test_a_device_that_someone_else_moved_away_is_a_conflict(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=1))
    bulk_change_id = world.submit().bulk_change_id
    (batch,) = world.prepare(bulk_change_id)
    world.trouble(Rule(name="ok_not_applied"))
    world.control.drift(world.iccids[0], Drift(rate_plan=THIRD))
    world.drive(batch)
    world.services.execution.finalize(bulk_change_id, "run-1")

    evidence = world.evidence(bulk_change_id)
    assert evidence.row(world.iccids[0]).reason == "PLAN_CONFLICT"
    check_all(evidence)


def test_a_scheduled_change_with_a_lost_answer_is_not_sent_again(world: World) -> None:
    victim = frozenset({world.iccids[0]})
    day = datetime.now(UTC).date() + timedelta(days=3)
    evidence = run_with(world, Rule(name="error500_applied", iccids=victim), effective_date=str(day))

    row = evidence.row(world.iccids[0])
    assert row.status == "UNCONFIRMED"
    assert len(evidence.puts(row.iccid)) == 1
    check_all(evidence)
