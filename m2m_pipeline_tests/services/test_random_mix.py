"""A random mix of troubles strikes one call in five, by seed: whatever happens, the invariants hold in the end.

A seed that fails is printed; `@example(seed=…)` beside `@given` brings its mix back.
"""

import random
import traceback
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from m2m_pipeline.domain.accounts import VerifyMode
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.evidence import Evidence
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.local.waiting import wait_until
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import NEW, OLD, OWNER, Options, QuickCarriers, World

pytestmark = pytest.mark.usefixtures("quick_reads", "quick_places")

STRUCK = 0.2
"""The share of the calls that meet a trouble."""

MIXED = 6
"""Troubles in one mix."""

ANY_CALL = ("reset_before", "outage", "hang", "error500_not_applied", "html_502", "truncated")
CHANGES = (
    *("applied_then_reset", "applied_then_silence", "error500_applied", "slow_drip", "oversized"),
    *("accepted_202_applied_later", "accepted_202_never", "ok_not_applied", "blank_iccid", "foreign_iccid"),
    *("latin1_error", "unknown_code", "device_refused", "device_transferred"),
)
LISTS = (
    Rule(name="clock_skew", skew_s=-150.0),
    Rule(name="clock_skew", skew_s=3600.0),
    Rule(name="list_moves"),
    Rule(name="list_unordered"),
)
ENDS = ("rate_plan_retired", "key_revoked", "role_denied", "ip_blocked")
SETTLE = 0.2


def a_mix(chance: random.Random) -> Sequence[Rule]:
    """Troubles that together strike their share of the calls; one of the list; some let the account rest, once each.

    A trouble that says that the device is gone strikes changes only: of a reading it would be the truth.
    """
    chosen = [*chance.sample(ANY_CALL, 2), *chance.sample(CHANGES, MIXED - 2)]
    each = 1 - (1 - STRUCK) ** (1 / MIXED)
    struck = [
        Rule(
            name=name,
            share=each,
            seed=chance.randrange(10**6),
            methods=None if name in ANY_CALL else frozenset({"PUT"}),
            delay_s=chance.choice([SETTLE / 4, 3 * SETTLE]),
            interval_s=0.02,
            size_mb=2,
        )
        for name in chosen
    ]
    slowed = [Rule(name=name, skip_calls=chance.randrange(50), calls=1) for name in ("rate_limited", "burst_503")]
    tightened = Rule(name="limit_tightened", skip_calls=chance.randrange(50), calls=20, calls_per_second=5)
    return [*slowed, *struck, chance.choice(LISTS), *chance.sample([tightened], chance.randrange(2))]


def an_end(chance: random.Random, devices: int) -> Rule:
    """A refusal that holds for every device, from the midst of the changes on."""
    return Rule(name=chance.choice(ENDS), rate_plan=NEW, skip_calls=chance.randrange(devices // 2, devices))


def run_through(world: World, mix: Sequence[Rule], batch_size: int) -> Evidence:
    """A bulk change from its first batch on in the mix; then the troubles are over and reconciliation runs."""
    bulk_change_id = world.submit(batch_size=batch_size).bulk_change_id
    batches = world.prepare(bulk_change_id)
    for rule in mix:
        world.trouble(rule)
    for batch in batches:
        world.drive(batch, read_ahead=True)
    world.services.execution.finalize(bulk_change_id, OWNER)
    met = [({*(call.scenario or "").split("+")}, call) for call in world.control.calls() if call.method == "PUT"]
    struck = [call for names, call in met if names & {*ANY_CALL, *CHANGES}]
    assert len(struck) > STRUCK / 4 * sum(not names & {*ENDS} for names, _ in met)
    later = {call.iccid for names, call in met if "accepted_202_applied_later" in names and call.status == 202}
    wait_until(
        lambda: later <= {change.iccid for change in world.control.changes()}, "the carrier has made what it accepted"
    )
    world.control.stop_all()
    wait_until(world.no_call_counts, "no call is under way: until then, an open breaker lets nobody try")
    assert world.settle() == 0
    return world.evidence(bulk_change_id)


def hold_in_a_mix(make_world: MakeWorld, seed: int, devices: int) -> None:
    """Let the seed choose a world and its troubles, and hold what is left of them against the invariants."""
    chance = random.Random(seed)  # noqa: S311 -- reproducible, not secret
    large = devices >= 1000
    options = Options(
        devices=devices,
        calls_per_second=5000.0,
        in_flight=50 if large else chance.choice([5, 20]),
        verify=chance.choice([VerifyMode.PAGES, VerifyMode.EACH]),
        settle=SETTLE,
        patience=5.0,
    )
    world = make_world(options, QuickCarriers(read=0.3, total=1.0))
    world.sql("DELETE FROM m2m.carrier_gate")  # what an example before this one has taught
    known, unknown = chance.sample(world.iccids, 10), chance.sample(world.iccids, 10)
    world.import_devices(known, chance.choice([OLD, NEW]))
    world.sql("UPDATE m2m.device SET rate_plan = NULL WHERE iccid = ANY(%s)", unknown)
    ends = [] if large else chance.sample([an_end(chance, devices)], chance.randrange(2))
    mix = [*ends, *a_mix(chance)]
    print(f"seed {seed}: {[rule.name for rule in mix]}, {options}")  # noqa: T201 -- shown where the test fails
    evidence = run_through(world, mix, batch_size=devices // chance.choice([1, 2, 4]))

    assert {"PROCESSED"} <= {*evidence.statuses().values()} <= {"PROCESSED", "REFUSED", "SKIPPED"}
    check_all(evidence)


# A mix is not made simpler by another seed, and the same seed is not the same run to the millisecond.
@settings(
    max_examples=3,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_invariants_hold_in_any_mix_of_troubles(make_world: MakeWorld, seed: int) -> None:
    try:
        hold_in_a_mix(make_world, seed, 200)
    except BaseException:
        traceback.print_exc()  # played again, it may fail by what this one has left: then only that would be told
        raise


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [3])
def test_the_invariants_hold_in_a_large_mix(make_world: MakeWorld, seed: int) -> None:
    hold_in_a_mix(make_world, seed, 2000)
