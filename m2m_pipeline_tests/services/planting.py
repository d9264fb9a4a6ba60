"""Devices on which AMOP and the carrier differ, each for a cause of its own, planted into a world."""

from collections.abc import Mapping, Sequence

from m2m_pipeline.domain.drift import DriftCause
from m2m_pipeline.simulator.documents import Drift
from m2m_pipeline_tests.world import NEW, THIRD, World

ABSENT = tuple(f"89882167169799{number:05}" for number in range(1000))
"""ICCIDs that the carrier has never heard of."""


def plant(world: World, each: int, *, first: int = 0) -> Mapping[DriftCause, Sequence[str]]:
    """`each` devices of every cause, taken from the world's devices from the `first` on."""
    chosen = iter(world.iccids[first:])
    take = lambda: [next(chosen) for _ in range(each)]  # noqa: E731 -- six uses in six lines
    outside, unknown, new, held, dated = take(), take(), take(), take(), take()
    gone = ABSENT[:each]
    world.sql("UPDATE m2m.carrier_rate_plan SET retired_at = now() WHERE name = %s", THIRD)
    for iccid in [*outside, *held, *dated]:
        world.control.drift(iccid, Drift(rate_plan=NEW))
    for iccid in unknown:
        world.control.drift(iccid, Drift(rate_plan=THIRD))
    world.sql("DELETE FROM m2m.device WHERE iccid = ANY(%s)", new)
    world.import_devices(gone)
    world.submit([*held, *dated])
    world.sql("UPDATE m2m.device_change SET status = 'UNCONFIRMED', reason = 'SCHEDULED' WHERE iccid = ANY(%s)", dated)
    return {
        DriftCause.MADE_OUTSIDE: outside,
        DriftCause.PLAN_UNKNOWN: unknown,
        DriftCause.DEVICE_NEW: new,
        DriftCause.DEVICE_GONE: gone,
        DriftCause.CHANGE_IN_PROGRESS: held,
        DriftCause.SCHEDULED: dated,
    }


def found(world: World) -> Mapping[DriftCause, Sequence[str]]:
    """The open records, by cause."""
    records: dict[DriftCause, list[str]] = {}
    for iccid, cause in world.sql("SELECT iccid, cause FROM m2m.drift WHERE resolved_at IS NULL ORDER BY iccid"):
        records.setdefault(DriftCause(str(cause)), []).append(str(iccid))
    return records


def pages(world: World, after: int = 0) -> int:
    """List pages that the carrier was asked for."""
    return sum(call.method == "GET" and call.path.endswith("/devices") for call in world.control.calls(after))


def read_alone(world: World, after: int = 0) -> list[str]:
    """Devices that the carrier was asked about one by one."""
    return [call.iccid for call in world.control.calls(after) if call.method == "GET" and call.iccid]
