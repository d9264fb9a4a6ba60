"""Two hundred devices in a random mix of troubles, by seed: whatever happens, the invariants hold."""

import random

import pytest

from m2m_pipeline.domain.accounts import VerifyMode
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import OLD, Options

pytestmark = pytest.mark.usefixtures("quick_reads")

PUT, GET = frozenset({"PUT"}), frozenset({"GET"})
ON_CALLS = [
    "applied_then_reset",
    "reset_before",
    "outage",
    "error500_applied",
    "error500_not_applied",
    "html_502",
    "burst_503",
    "truncated",
    "accepted_202_applied_later",
    "ok_not_applied",
    "blank_iccid",
    "foreign_iccid",
    "latin1_error",
    "unknown_code",
    "rate_limited",
    "device_refused",
    "device_transferred",
]
ON_READS = ["reset_before", "html_502", "truncated", "unknown_code"]


@pytest.mark.parametrize("seed", range(3))
def test_the_invariants_hold_in_any_mix_of_troubles(make_world: MakeWorld, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 -- reproducible, not secret
    verify = chance.choice([VerifyMode.PAGES, VerifyMode.EACH])
    in_flight = chance.choice([1, 5, 20])
    world = make_world(Options(devices=200, in_flight=in_flight, verify=verify, settle=0.2, patience=2.0))
    world.import_devices(chance.sample(world.iccids, 10), chance.choice([OLD, "Plan New"]))
    bulk_change_id = world.submit(batch_size=chance.choice([100, 200])).bulk_change_id
    batches = world.prepare(bulk_change_id)
    for scenario in chance.sample(ON_CALLS, 9):
        limited = scenario == "rate_limited"  # the account rests for a second after each
        victims = frozenset(chance.sample(world.iccids, 2 if limited else 20))
        most = 1 if limited else chance.choice([1, 2, None])
        world.trouble(Rule(name=scenario, iccids=victims, methods=PUT, calls_per_device=most, delay_s=0.05))
    for scenario in chance.sample(ON_READS, 2):
        victims = frozenset(chance.sample(world.iccids, 30))
        world.trouble(Rule(name=scenario, iccids=victims, methods=GET, calls_per_device=2))
    for batch in batches:
        world.drive(batch)
    world.services.execution.finalize(bulk_change_id, "run-1")

    evidence = world.evidence(bulk_change_id)
    assert len(set(evidence.statuses().values())) > 1
    check_all(evidence)
