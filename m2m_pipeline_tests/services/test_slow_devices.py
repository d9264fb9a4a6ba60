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
"""The share of the pace after the slow calls that the pace beside them must not fall below."""


@pytest.mark.parametrize("scenario", ["hang", "applied_then_silence", "slow_drip"])
def test_a_slow_device_costs_its_own_time_only(make_world: MakeWorld, scenario: str) -> None:
    options = Options(devices=60, calls_per_second=CALLS_PER_SECOND, in_flight=6)
    world = make_world(options, QuickCarriers(read=TIME_LIMIT, total=TIME_LIMIT))
    slow = frozenset(world.iccids[4:6])
    once = Rule(name=scenario, iccids=slow, methods=frozenset({"PUT"}), calls_per_device=1, interval_s=0.2)
    world.trouble(once)
    _, evidence = world.submit_and_run(batch_size=60)

    slow_calls = [evidence.puts(iccid)[0] for iccid in slow]
    over = max(call.end for call in slow_calls if call.end is not None)
    others = [put.start for put in evidence.puts() if put.iccid not in slow]
    later = [start for start in others if start > over]
    pace = (len(later) - 1) / (later[-1] - later[0])
    for call in slow_calls:
        assert call.end is not None
        beside = [start for start in others if call.start < start < call.end]
        assert call.end - call.start >= 0.9 * TIME_LIMIT
        assert len(beside) >= FULL_PACE * pace * (call.end - call.start)
    assert set(evidence.statuses().values()) == {"PROCESSED"}
    assert {evidence.row(iccid).attempts for iccid in world.iccids if iccid not in slow} == {1}
    check_all(evidence)
