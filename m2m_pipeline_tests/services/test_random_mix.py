"""A random mix of troubles strikes one call in five, by seed: whatever happens, the invariants hold in the end."""

import random
from collections.abc import Sequence

import pytest

from m2m_pipeline.domain.accounts import VerifyMode
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.evidence import Evidence
from m2m_pipeline_tests.invariants import check_all
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


def a_mix(chance: random.Random) -> Sequence[Rule]:
    """Troubles that together strike their share of the calls; one of the list; two let the account rest, once each.

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
            delay_s=0.05,
            interval_s=0.02,
            size_mb=2,
        )
        for name in chosen
    ]
    slowed = [Rule(name=name, skip_calls=chance.randrange(50), calls=1) for name in ("rate_limited", "burst_503")]
    return [*slowed, *struck, chance.choice(LISTS)]


def run_through(world: World, mix: Sequence[Rule], batch_size: int) -> Evidence:
    """A bulk change from its first batch on in the mix; then the troubles are over and reconciliation runs."""
    bulk_change_id = world.submit(batch_size=batch_size).bulk_change_id
    batches = world.prepare(bulk_change_id)
    for rule in mix:
        world.trouble(rule)
    for batch in batches:
        world.drive(batch, read_ahead=True)
    world.services.execution.finalize(bulk_change_id, OWNER)
    struck = [call.scenario for call in world.control.calls() if call.method == "PUT"]
    assert sum(name not in {None, mix[-1].name} for name in struck) > STRUCK / 2 * len(struck)
    world.control.stop_all()
    assert world.settle() == 0
    return world.evidence(bulk_change_id)


@pytest.mark.parametrize(
    ("seed", "devices"), [*((seed, 200) for seed in range(3)), pytest.param(3, 2000, marks=pytest.mark.timeout(300))]
)
def test_the_invariants_hold_in_any_mix_of_troubles(make_world: MakeWorld, seed: int, devices: int) -> None:
    chance = random.Random(seed)  # noqa: S311 -- reproducible, not secret
    options = Options(
        devices=devices,
        calls_per_second=5000.0,
        in_flight=chance.choice([5, 20]) if devices < 1000 else 50,
        verify=chance.choice([VerifyMode.PAGES, VerifyMode.EACH]),
        settle=0.2,
        patience=5.0,
    )
    world = make_world(options, QuickCarriers(read=0.3, total=1.0))
    world.import_devices(chance.sample(world.iccids, 10), chance.choice([OLD, NEW]))
    mix = a_mix(chance)
    print(f"seed {seed}: {[rule.name for rule in mix]}, {options}")  # noqa: T201 -- shown where the test fails
    evidence = run_through(world, mix, batch_size=devices // chance.choice([1, 2, 4]))

    assert {"PROCESSED"} <= {*evidence.statuses().values()} <= {"PROCESSED", "REFUSED", "SKIPPED"}
    check_all(evidence)
