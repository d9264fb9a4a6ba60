"""A device whose call hangs or drips costs its own time limit: the calls of the others go on at full pace meanwhile."""

import pytest

from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import Options, QuickCarriers

pytestmark = pytest.mark.usefixtures("quick_reads")

CALLS_PER_SECOND = 20.0
TIME_LIMIT = 1.5
FULL_PACE = 0.75
"""The share of the configured calls that a busy machine's timers must not fall below."""


@pytest.mark.parametrize("scenario", ["hang", "applied_then_silence", "slow_drip"])
def test_a_slow_device_costs_its_own_time_only(make_world: MakeWorld, scenario: str) -> None:
    options = Options(devices=60, calls_per_second=CALLS_PER_SECOND, in_flight=6)
    world = make_world(options, QuickCarriers(read=TIME_LIMIT, total=TIME_LIMIT))
    slow = frozenset(world.iccids[4:6])
    once = Rule(name=scenario, iccids=slow, methods=frozenset({"PUT"}), calls_per_device=1, interval_s=0.2)
    world.trouble(once)
    _, evidence = world.submit_and_run(batch_size=60)

    for iccid in slow:
        call = evidence.puts(iccid)[0]
        assert call.end is not None
        others = [put for put in evidence.puts() if put.iccid not in slow and call.start < put.start < call.end]
        assert call.end - call.start >= 0.9 * TIME_LIMIT
        assert len(others) >= FULL_PACE * CALLS_PER_SECOND * TIME_LIMIT
    assert set(evidence.statuses().values()) == {"PROCESSED"}
    assert {evidence.row(iccid).attempts for iccid in world.iccids if iccid not in slow} == {1}
    check_all(evidence)
