"""A pass that settles what ended unknown dies at a named point; the next one makes it good."""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from m2m_pipeline.bootstrap import Application
from m2m_pipeline.domain.accounts import ServiceProvider
from m2m_pipeline.domain.change import Batch
from m2m_pipeline.domain.notices import DestinationKind
from m2m_pipeline.services.accounts import ProviderSettings
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.evidence import Evidence
from m2m_pipeline_tests.faults.field import Change, Field, eventually
from m2m_pipeline_tests.faults.points import Point
from m2m_pipeline_tests.faults.verdict import Verdict, judge
from m2m_pipeline_tests.faults.worker import Errand, Worker
from m2m_pipeline_tests.world import TENANT

_RECONCILIATION = "m2m_pipeline.services.reconciliation.Reconciliation"
_EXECUTION = "m2m_pipeline.services.execution"
_STORAGE = "m2m_pipeline.storage"

SETTLING_POINTS: Mapping[str, Point] = {
    "inside the claim": Point(f"{_STORAGE}.leases.claim_unsettled", "after"),
    "after the claim, before the read": Point(f"{_RECONCILIATION}._read_back", "before"),
    "inside the commit of what was read": Point(f"{_STORAGE}.audit.write_steps", "after"),
    "after the read, before AMOP's repair": Point(f"{_RECONCILIATION}._read_back", "after"),
    "inside AMOP's repair": Point(f"{_STORAGE}.amop.update", "after"),
    "between AMOP's repair and its audit": Point(f"{_EXECUTION}.amop.update_amop", "after"),
    "inside the audit of the devices' ends": Point(f"{_STORAGE}.audit.write_endings", "after"),
    "inside the rewriting of the end": Point(f"{_STORAGE}.bulk_changes.end", "after"),
    "after the notice, before its commit": Point(f"{_EXECUTION}.finish.tell_end", "after"),
    "inside the rewriting of the result": Point(f"{_STORAGE}.bulk_changes.store_result", "after"),
    "after the end was told anew": Point(f"{_EXECUTION}.finish.finish_again", "after"),
}

DEVICES = 8
SETTLED = {"PROCESSED": 6, "REFUSED": 2}
"""What the devices of a change prove to be: the carrier made six of the changes."""

_ANSWERED, _NOT_MADE = 2, 2
HEALED_SECONDS = 30.0


def settle_everywhere(field: Field) -> Mapping[str, Verdict]:
    """A bulk change for each point, whose end is unknown and whose first settling dies there; the verdicts by point."""
    field.services.destinations.store(TENANT, DestinationKind.WEBHOOK, "https://hooks.example.com/", None, "test")
    changes = end_unknown(field, len(SETTLING_POINTS))
    with ThreadPoolExecutor(4) as pool:
        return dict(zip(SETTLING_POINTS, pool.map(partial(_settle, field), SETTLING_POINTS, changes), strict=True))


def end_unknown(field: Field, count: int) -> Sequence[Change]:
    """Bulk changes that ended while the carrier made most of what it was asked for and answered no question."""
    changes = [field.submit(batch_size=DEVICES) for _ in range(count)]
    batches = [_prepare(field.services, change) for change in changes]
    lost = frozenset(iccid for change in changes for iccid in change.iccids[_ANSWERED:])
    not_made = frozenset(iccid for change in changes for iccid in change.iccids[-_NOT_MADE:])
    puts = frozenset({"PUT"})
    field.control.start(Rule(name="applied_then_reset", methods=puts, iccids=not_made, applied=False))
    field.control.start(Rule(name="applied_then_reset", methods=puts, iccids=lost - not_made))
    field.control.start(Rule(name="outage", methods=frozenset({"GET"})))
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(partial(_end, field.services), batches))
    field.control.stop_all()
    return changes


def _prepare(services: Application, change: Change) -> Batch:
    owner = f"run-{change.id}"
    services.execution.validate_request(change.id, owner)
    services.execution.build_change_details(change.id, owner)
    services.execution.authenticate_carrier(change.id, owner)
    (batch,) = services.execution.plan_batches(change.id, owner)
    return batch


def _end(services: Application, batch: Batch) -> None:
    owner = f"run-{batch.bulk_change_id}"
    services.execution.change_devices(batch, owner)
    services.execution.update_amop(batch, owner)
    services.execution.write_audit(batch, owner)
    document = services.execution.finalize(batch.bulk_change_id, owner)
    assert document.counts == {"UNCONFIRMED": DEVICES}, document.counts


def settle(services: Application, *, provider: ServiceProvider) -> None:
    """A pass over one provider."""
    services.reconciliation.settle(provider)


def _settle(field: Field, name: str, change: Change) -> Verdict:
    provider = field.services.accounts.configure(TENANT, change.username, ProviderSettings(), "test")
    puts = field.puts(change)
    worker = Worker(Errand(field.settings, partial(settle, provider=provider), SETTLING_POINTS[name]))
    ended = worker.end()
    broken = [] if ended == "killed" else [f"the pass was to die {name}; it came to: {ended}"]
    try:
        eventually(lambda: _is_told(field, provider, change), f"the end of what died {name}", HEALED_SECONDS)
    except AssertionError as error:
        broken.append(str(error))
    if field.puts(change) != puts:
        broken.append("settling has sent something")
    evidence = field.evidence(change)
    counted = replace(evidence.bulk, carrier_calls=len(evidence.calls))  # the dead have not told their last calls
    return judge(name, replace(evidence, bulk=counted), 1, *broken, *_told_otherwise(field, change, evidence))


def _is_told(field: Field, provider: ServiceProvider, change: Change) -> bool | None:
    """Whether nothing is left to settle, after another pass."""
    field.services.reconciliation.settle(provider)
    ((counts,),) = field.sql("SELECT result->'counts' FROM m2m.bulk_change WHERE id = %s", change.id)
    return counts == SETTLED or None


def _told_otherwise(field: Field, change: Change, evidence: Evidence) -> list[str]:
    """What was not told exactly once, of the first end and of what settling has found out."""
    ends = [entry.outcome for entry in evidence.audit if entry.kind == "BULK_CHANGE_ENDED"]
    reads = Counter(
        entry.iccid for entry in evidence.audit if (entry.kind, entry.outcome) == ("CARRIER_READ", "APPLIED")
    )
    notices = field.sql(
        "SELECT body::jsonb->'data'->'counts' FROM m2m.notice WHERE bulk_change_id = %s ORDER BY id", change.id
    )
    found = {
        "ends in the audit log": (ends, ["PARTIAL", "PARTIAL"]),
        "readings in the audit log": (sorted(reads.values()), [1] * SETTLED["PROCESSED"]),
        "notices": ([one for (one,) in notices], [{"UNCONFIRMED": DEVICES}, SETTLED]),
    }
    return [f"{what}: {told}" for what, (told, expected) in found.items() if told != expected]
