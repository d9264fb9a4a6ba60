"""Each trouble that the simulator can make, alone: it strikes, it is over, and after reconciliation nothing is open."""

from collections.abc import Mapping

import pytest

from m2m_pipeline.simulator.scenarios import SCENARIOS, Rule
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.local.waiting import wait_until
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import NEW, OWNER, Options, QuickCarriers, World, iccids

pytestmark = pytest.mark.usefixtures("quick_reads", "quick_places")

DEVICES = 12
PUT = frozenset({"PUT"})
SOME = frozenset(iccids(DEVICES)[1::3])

CASES: Mapping[str, Rule] = {
    rule.name: rule
    for rule in (
        *(
            Rule(name=name, share=0.3, seed=2)
            for name in (
                *("applied_then_reset", "applied_then_silence", "reset_before", "hang", "error500_applied"),
                *("error500_not_applied", "html_502", "truncated", "accepted_202_never"),
                *("ok_not_applied", "blank_iccid", "foreign_iccid", "unknown_code", "device_refused"),
            )
        ),
        Rule(name="slow_drip", share=0.3, seed=2, interval_s=0.02),
        Rule(name="oversized", share=0.3, seed=2, size_mb=2),
        Rule(name="latin1_error", share=0.3, seed=2, methods=PUT),  # on a read it says that the device is gone
        Rule(name="accepted_202_applied_later", share=0.3, seed=2, delay_s=0.5),
        Rule(name="rate_limited", share=0.3, seed=2, calls=2),  # the account rests for a second after each
        Rule(name="burst_503", share=0.3, seed=2, calls=2),  # as well
        Rule(name="device_transferred", iccids=SOME),
        Rule(name="outage", skip_calls=5),
        Rule(name="role_denied", skip_calls=5),
        Rule(name="key_revoked", skip_calls=5),
        Rule(name="ip_blocked", skip_calls=5),
        Rule(name="rate_plan_retired", skip_calls=5, rate_plan=NEW),
        Rule(name="limit_tightened", skip_calls=5, calls_per_second=4),
        Rule(name="clock_skew", skew_s=-200.0),
        Rule(name="list_moves", moved=4),
        Rule(name="list_unordered"),
    )
}


def test_every_scenario_has_its_case() -> None:
    assert CASES.keys() == SCENARIOS.keys()


def run_through(world: World, rule: Rule) -> int:
    """A bulk change of two batches that meets the trouble once it has begun."""
    bulk_change_id = world.submit(batch_size=DEVICES // 2).bulk_change_id
    batches = world.prepare(bulk_change_id)
    world.trouble(rule)
    for batch in batches:
        world.drive(batch)
    world.services.execution.finalize(bulk_change_id, OWNER)
    return bulk_change_id


@pytest.mark.parametrize("rule", CASES.values(), ids=CASES.keys())
def test_a_trouble_alone_leaves_no_device_without_its_truthful_end(make_world: MakeWorld, rule: Rule) -> None:
    options = Options(devices=DEVICES, calls_per_second=40.0, in_flight=4, patience=1.0)
    world = make_world(options, QuickCarriers(read=0.3, total=1.0))
    bulk_change_id = run_through(world, rule)
    struck = [call for call in world.control.calls() if rule.name in (call.scenario or "").split("+")]
    later = {call.iccid for call in struck if rule.name == "accepted_202_applied_later"}
    wait_until(
        lambda: later <= {change.iccid for change in world.control.changes()}, "the carrier has made what it accepted"
    )
    world.control.stop_all()

    assert struck
    wait_until(world.no_call_counts, "no call is under way: until then, an open breaker lets nobody try")
    assert world.settle() == 0
    evidence = world.evidence(bulk_change_id)
    assert "UNCONFIRMED" not in evidence.statuses().values()
    check_all(evidence)
