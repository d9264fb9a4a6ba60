"""How soon a small change on an idle account reaches the carrier, with the services and settings that are shipped."""

import random
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from statistics import median
from typing import cast

from benchmarks.fleet import API_KEY, COMMUNICATION_PLAN, NEW, OLD, USERNAME, carrier_world, iccids
from benchmarks.measurement import InvalidRunError, Measurement
from benchmarks.services import Services, services
from benchmarks.stand import Stand
from benchmarks.targets import Figure
from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.domain.request import parse_request
from m2m_pipeline.services.accounts import ProviderSettings

DEVICES = 10
FULL_REPEATS, QUICK_REPEATS = 8, 1
SENSOR_SECONDS = 5.0
"""The dispatch sensor's interval, over which the moments of submission are spread."""

TENANT, PROVIDER = "bench", "bench"
_LOOK_SECONDS = 0.1
_PATIENCE = 120.0
_NAME = "reaction"

STAGES = {
    "queued": "until the sensor asks for a run",
    "enqueued": "until the queue lets it go",
    "starting": "until its process has loaded the job",
    "started": "until its first step",
    "first step": "until the first carrier call",
    "first call": "until the first change call",
}
"""A stage begins at each of these moments and ends at the next; the last one ends at the first change call."""

_OPEN = "SELECT id FROM m2m.bulk_change WHERE finished_at IS NULL"
_QUEUED = "SELECT extract(epoch FROM queued_at)::float8 FROM m2m.bulk_change WHERE id = %s"
_EVENTS = """
SELECT e.dagster_event_type, extract(epoch FROM min(e.timestamp))::float8
FROM event_logs e JOIN run_tags t ON t.run_id = e.run_id
WHERE t.key = 'm2m/bulk_change' AND t.value = %s GROUP BY e.dagster_event_type
"""


def measure(_: Stand, quick: bool) -> Iterator[Measurement]:
    """Changes at moments spread over the sensor's interval, each after the end of the one before."""
    repeats = QUICK_REPEATS if quick else FULL_REPEATS
    with services() as running:
        _prepare(running, repeats)
        moments = [_react(running, repeat) for repeat in range(repeats)]
    taken = [one["first call"] - one["queued"] for one in moments]
    case = f"{DEVICES} devices, changes: {repeats}"
    detail = {"seconds": [round(one, 2) for one in sorted(taken)]}
    yield Measurement(_NAME, case, Figure.REACTION, median(taken), "s", detail)
    names = [*STAGES, "first change"]
    for begin, end in pairwise(names):
        stage = [one[end] - one[begin] for one in moments]
        yield Measurement(_NAME, case, f"{begin} {STAGES[begin]}, median", median(stage), "s")


def _prepare(running: Services, repeats: int) -> None:
    running.control.replace_world(carrier_world(DEVICES * repeats))
    running.control.set_latency(50, 300)
    settings = ProviderSettings(
        integration_type="POD19",
        base_url=running.carrier_url,
        username=USERNAME,
        api_key=API_KEY,
        writes_enabled=True,
    )
    accounts = running.application.accounts
    provider = accounts.configure(TENANT, PROVIDER, settings, actor="bench")
    accounts.import_plans(provider, [OLD, NEW], [COMMUNICATION_PLAN])
    devices = iccids(0, DEVICES * repeats)
    accounts.import_devices(provider, [DeviceReading(one, OLD, COMMUNICATION_PLAN) for one in devices])


def _react(running: Services, repeat: int) -> dict[str, float]:
    """Submit at a random moment of the sensor's interval; when what happened, seconds since the epoch."""
    _until(lambda: running.business(_OPEN) == [], "the end of the change before")
    time.sleep(random.Random(repeat).uniform(0, SENSOR_SECONDS))  # noqa: S311 - spread, not secret
    before = running.control.summary().calls
    devices = iccids(DEVICES * repeat, DEVICES)
    request = parse_request({"provider": PROVIDER, "rate_plan": NEW, "devices": list(devices)})
    bulk_change_id = running.application.submission.submit(TENANT, request, "bench").bulk_change_id
    _until(lambda: _changes(running, before), "the first change call")
    calls = running.control.calls(after=before)
    events = dict(cast("list[tuple[str, float]]", running.dagster(_EVENTS, str(bulk_change_id))))
    ((queued,),) = cast("list[tuple[float]]", running.business(_QUEUED, bulk_change_id))
    return {
        "queued": queued,
        "enqueued": events["PIPELINE_ENQUEUED"],
        "starting": events["PIPELINE_STARTING"],
        "started": events["PIPELINE_START"],
        "first step": events["STEP_START"],
        "first call": calls[0].wall,
        "first change": next(call.wall for call in calls if call.method == "PUT"),
    }


def _changes(running: Services, before: int) -> bool:
    return any(call.method == "PUT" for call in running.control.calls(after=before))


def _until(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds. Raises InvalidRunError if it does not come to that."""
    deadline = time.monotonic() + _PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise InvalidRunError(f"{what}: not within {_PATIENCE:g} s")
        time.sleep(_LOOK_SECONDS)
