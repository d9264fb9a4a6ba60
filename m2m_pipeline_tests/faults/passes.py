"""A pass that looks for drift, or repairs it, dies at a named point; the passes after it come to the same end."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from m2m_pipeline.bootstrap import Application
from m2m_pipeline.domain.accounts import DriftPolicy, ServiceProvider
from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.domain.notices import DestinationKind
from m2m_pipeline.services.accounts import ProviderSettings
from m2m_pipeline.simulator.documents import Drift
from m2m_pipeline_tests.faults.field import COMMUNICATION_PLAN, Field, eventually
from m2m_pipeline_tests.faults.points import Point
from m2m_pipeline_tests.faults.worker import Errand, Worker
from m2m_pipeline_tests.world import NEW, TENANT

_DRIFT = "m2m_pipeline.services.drift"
_STORAGE = "m2m_pipeline.storage"

SEARCH_POINTS: Mapping[str, Point] = {
    "inside the start": Point(f"{_STORAGE}.passes.start", "after"),
    "before the list": Point(f"{_DRIFT}.drifting.read_list", "before"),
    "inside the commit of a page": Point(f"{_STORAGE}.listing.keep_listed", "after"),
    "after the list": Point(f"{_DRIFT}.drifting.read_list", "after"),
    "inside the commit of what differs": Point(f"{_STORAGE}.drift.record", "after"),
    "inside the commit of the pass's end": Point(f"{_STORAGE}.passes.finish", "after"),
    "after the notice, before its commit": Point(f"{_DRIFT}.drifting.tell_drift", "after"),
    "before the repair": Point(f"{_DRIFT}.drifting.repair", "before"),
    "after the repair": Point(f"{_DRIFT}.drifting.repair", "after"),
}
REPAIR_POINTS: Mapping[DriftPolicy, Mapping[str, Point]] = {
    DriftPolicy.FOLLOW: {
        "between AMOP's following and its audit": Point(f"{_STORAGE}.repairs.follow", "after"),
        "inside the commit of AMOP's following": Point(f"{_STORAGE}.audit.write_repaired", "after"),
    },
    DriftPolicy.PROPOSE: {
        "before the first way back": Point("m2m_pipeline.services.submission.Submission.submit", "before"),
        "between two ways back": Point("m2m_pipeline.services.submission.Submission.submit", "after"),
    },
}
CASES = [(policy, name) for policy, points in REPAIR_POINTS.items() for name in (*SEARCH_POINTS, *points)]

DEVICES = 60
"""Two pages of the list."""

PASSES = 3
"""To their end, after which nothing moves any more: found, repaired, seen to be repaired."""


@dataclass(frozen=True, slots=True)
class Left:
    """What passes have left behind; devices by their place in the account, so that accounts compare."""

    amop: Mapping[int, str]  # AMOP's plan
    repaired: Sequence[int]  # entries of the audit log
    proposed: Sequence[tuple[str, Sequence[int]]]  # plan and devices of each bulk change that waits for a person
    told: Sequence[int]  # how many devices each notice calls new
    puts: int


def pass_everywhere(field: Field) -> Mapping[tuple[DriftPolicy, str | None], Left]:
    """Passes over an account for each case, the first of which dies there; under None, those that nothing disturbs."""
    field.services.destinations.store(TENANT, DestinationKind.WEBHOOK, "https://hooks.example.com/", None, "test")
    cases = [*CASES, *((policy, None) for policy in REPAIR_POINTS)]
    accounts = [_drifted(field, policy) for policy, _ in cases]
    with ThreadPoolExecutor(4) as pool:
        return dict(zip(cases, pool.map(partial(_pass, field), cases, accounts), strict=True))


def _drifted(field: Field, policy: DriftPolicy) -> tuple[ServiceProvider, Sequence[str]]:
    """An account whose first devices somebody has moved at the carrier, and whose last ones AMOP has elsewhere."""
    provider, iccids = field.account()
    for iccid in iccids[:4]:
        field.control.drift(iccid, Drift(rate_plan=NEW))
    field.services.accounts.import_devices(
        provider, [DeviceReading(iccid, NEW, COMMUNICATION_PLAN) for iccid in iccids[-2:]]
    )
    return field.services.accounts.configure(TENANT, provider.name, ProviderSettings(drift=policy), "test"), iccids


def find(services: Application, *, provider: ServiceProvider) -> None:
    """A pass over one provider."""
    services.drifting.find(provider, full=True)


def _pass(field: Field, case: tuple[DriftPolicy, str | None], account: tuple[ServiceProvider, Sequence[str]]) -> Left:
    (policy, name), (provider, iccids) = case, account
    if name is not None:
        point = {**SEARCH_POINTS, **REPAIR_POINTS[policy]}[name]
        ended = Worker(Errand(field.settings, partial(find, provider=provider), point)).end()
        assert ended == "killed", f"the pass was to die {name}; it came to: {ended}"
    eventually(lambda: _passes(field, provider) >= PASSES or None, f"{PASSES} passes after the one that died {name}")
    return _left(field, provider, {iccid: place for place, iccid in enumerate(iccids)})


def _passes(field: Field, provider: ServiceProvider) -> int:
    """How many passes have come to their end, after another one."""
    field.services.drifting.find(provider, full=True)
    statement = "SELECT count(*) FROM m2m.reconciliation_pass WHERE service_provider_id = %s AND phase = 'DONE'"
    return int(str(field.sql(statement, provider.id)[0][0]))


def _left(field: Field, provider: ServiceProvider, places: Mapping[str, int]) -> Left:
    amop = field.sql("SELECT iccid, rate_plan FROM m2m.device WHERE service_provider_id = %s", provider.id)
    entries = field.sql(
        "SELECT iccid FROM m2m.audit_entry WHERE kind = 'DRIFT_REPAIRED' AND service_provider_id = %s", provider.id
    )
    proposed = field.sql(
        "SELECT rate_plan, array_agg(iccid) FROM m2m.device_change WHERE service_provider_id = %s "
        "GROUP BY bulk_change_id, rate_plan ORDER BY rate_plan",
        provider.id,
    )
    bodies = field.sql("SELECT body FROM m2m.notice WHERE event_type = 'drift.changed' ORDER BY id")
    told = [json.loads(str(body))["data"] for (body,) in bodies]
    return Left(
        amop={places[str(iccid)]: str(plan) for iccid, plan in amop},
        repaired=sorted(places[str(iccid)] for (iccid,) in entries),
        proposed=[(str(plan), sorted(places[one] for one in _words(iccids))) for plan, iccids in proposed],
        told=[one["new"] for one in told if one["provider"] == provider.name and one["new"]],
        puts=sum(call.method == "PUT" and call.account == provider.name for call in field.control.calls()),
    )


def _words(value: object) -> Sequence[str]:
    assert isinstance(value, list)
    return [str(one) for one in value]
