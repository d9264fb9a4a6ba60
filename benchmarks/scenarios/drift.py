"""What a full reconciliation pass finds among many devices, and what it costs in calls, memory and time."""

import random
from collections.abc import Iterator, Mapping, Sequence
from math import ceil

from benchmarks.fleet import NEW, OTHER_COMMUNICATION_PLAN, UNTOLD_PLAN, iccids
from benchmarks.measurement import Measurement
from benchmarks.rivals import FAR_ABOVE
from benchmarks.site import PROVIDER, Account, Site, site
from benchmarks.stand import Cost, Stand
from benchmarks.targets import Figure
from m2m_pipeline.domain.drift import DriftCause
from m2m_pipeline.simulator.documents import Drift

FULL_SIZES, QUICK_SIZES = (10_000, 100_000), (1_000, 5_000)
DRIFTED = 0.01
"""Of the devices, in equal parts of five kinds."""

HELD = 0.001
"""Of the devices: they differ as well, but a bulk change has them, so that it is no drift."""

PAGE, SEED = 50, 20
_PATIENCE = 600.0
_NAME = "drift"

_FOUND = "SELECT iccid, cause FROM m2m.drift WHERE resolved_at IS NULL"
_FORGET = "DELETE FROM m2m.device WHERE iccid = ANY(%s) RETURNING id"
_INVENT = """
INSERT INTO m2m.device (tenant_id, service_provider_id, iccid, rate_plan, communication_plan)
SELECT d.tenant_id, d.service_provider_id, i.iccid, d.rate_plan, d.communication_plan
FROM (SELECT * FROM m2m.device LIMIT 1) d, unnest(CAST(%s AS text[])) AS i(iccid) RETURNING id
"""


def measure(stand: Stand, quick: bool) -> Iterator[Measurement]:
    """Each size once, the smallest first: the memory of the others is held against it."""
    smallest: float | None = None
    for size in QUICK_SIZES if quick else FULL_SIZES:
        with site(stand, Account(size, FAR_ABOVE, in_flight=1, latency_ms=(0.0, 0.0))) as here:
            drifted, held = _plant(here)
            before = stand.control.summary().calls
            cost = _pass(here)
            calls = stand.control.summary().calls - before
            found = {(str(iccid), str(cause)) for iccid, cause in here.business(_FOUND)}
        case = f"{size:,} devices, {len(drifted):,} drifted"
        yield from _findings(case, drifted, held, found)
        least = ceil(size / PAGE) + len(drifted)
        yield Measurement(_NAME, case, Figure.DRIFT_CALLS, calls - least, "", {"calls": calls, "least": least})
        yield Measurement(_NAME, case, "full pass", cost.work.seconds, "s", _spent(cost))
        rss = cost.work.peak_rss_mb
        yield Measurement(_NAME, case, "peak RSS of a pass", rss, "MB")
        if smallest is not None:
            yield Measurement(_NAME, case, Figure.DRIFT_RSS_GROWTH, rss - smallest, "MB")
        smallest = smallest or rss


def _plant(here: Site) -> tuple[Mapping[str, DriftCause], Sequence[str]]:
    """Differences at devices that the seed chooses: drift with its causes, and what a bulk change is about."""
    control, size = here.stand.control, here.account.devices
    each, held = int(size * DRIFTED / 5), int(size * HELD)
    chosen = random.Random(SEED).sample(iccids(0, size), 4 * each + held)  # noqa: S311 -- reproducible, not secret
    moved, other_communication, untold, new = (chosen[first : first + each] for first in range(0, 4 * each, each))
    changing, gone = chosen[4 * each :], iccids(size, each)
    # Before the inventory is there: what was modified just before a pass is listed twice, and this is to be older.
    for devices, drift in (
        (moved, Drift(rate_plan=NEW)),
        (other_communication, Drift(communication_plan=OTHER_COMMUNICATION_PLAN)),
        (untold, Drift(rate_plan=UNTOLD_PLAN)),
        (changing, Drift(rate_plan=NEW)),
    ):
        for iccid in devices:
            control.drift(iccid, drift)
    here.import_devices()
    here.submit(changing)
    here.business(_FORGET, list(new))
    here.business(_INVENT, list(gone))
    causes = {
        DriftCause.MADE_OUTSIDE: [*moved, *other_communication],
        DriftCause.PLAN_UNKNOWN: untold,
        DriftCause.DEVICE_NEW: new,
        DriftCause.DEVICE_GONE: gone,
    }
    return {iccid: cause for cause, devices in causes.items() for iccid in devices}, changing


def _pass(here: Site) -> Cost:
    with here.stand.child("benchmarks.reconciling", "", here.environment) as child:
        (cost,) = here.stand.cost([child.await_ready()], [PROVIDER], _PATIENCE)
    return cost


def _findings(
    case: str, drifted: Mapping[str, DriftCause], held: Sequence[str], found: set[tuple[str, str]]
) -> Iterator[Measurement]:
    planted = {(iccid, cause.value) for iccid, cause in drifted.items()}
    explained = {(iccid, DriftCause.CHANGE_IN_PROGRESS.value) for iccid in held}
    yield Measurement(_NAME, case, Figure.DRIFT_FOUND, len(planted & found) / len(planted))
    wrong = sorted(found - planted - explained)
    yield Measurement(_NAME, case, Figure.DRIFT_FALSE, len(wrong), "", {"the first": wrong[:10]})


def _spent(cost: Cost) -> dict[str, object]:
    return {
        "own CPU seconds": round(cost.work.cpu_seconds, 2),
        "PostgreSQL CPU seconds": round(cost.servers.postgres_cpu, 2),
        "carrier CPU seconds": round(cost.servers.carrier_cpu, 2),
    }
