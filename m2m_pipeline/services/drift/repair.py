"""What is done about drift: nothing, AMOP follows the carrier, or a bulk change back is prepared for a person."""

from dataclasses import dataclass

from m2m_pipeline.domain.accounts import DriftPolicy, ServiceProvider
from m2m_pipeline.domain.problems import RequestRejectedError
from m2m_pipeline.domain.request import BulkChangeRequest, InvalidRows
from m2m_pipeline.services.submission import Submission
from m2m_pipeline.storage import audit, repairs
from m2m_pipeline.storage.database import Database
from m2m_pipeline.storage.repairs import WayBack

ACTOR = "reconciliation"


@dataclass(frozen=True, slots=True)
class Repaired:
    """Devices in which AMOP has followed, bulk changes back that wait for a person, and why no other was prepared."""

    followed: int = 0
    waiting: tuple[int, ...] = ()
    problems: tuple[str, ...] = ()


NOTHING = Repaired()


def repair(database: Database, submission: Submission, provider: ServiceProvider) -> Repaired:
    """Do about the provider's drift what its policy says. Nothing is sent. Safe to be said again."""
    match provider.drift:
        case DriftPolicy.REPORT:
            return Repaired(waiting=_waiting(database, provider))
        case DriftPolicy.FOLLOW:
            return _follow(database, provider)
        case DriftPolicy.PROPOSE:
            return _propose(database, submission, provider)


def _follow(database: Database, provider: ServiceProvider) -> Repaired:
    with database.begin() as tx:
        ids = repairs.follow(tx, provider)
        audit.write_repaired(tx, provider, ACTOR, ids)
    return Repaired(followed=len(ids), waiting=_waiting(database, provider))


def _propose(database: Database, submission: Submission, provider: ServiceProvider) -> Repaired:
    with database.begin() as tx:
        ways = repairs.ways_back(tx, provider)
    problems: list[str] = []
    for way in ways:
        try:
            submission.submit(way.tenant, _request(provider, way), ACTOR)
        except RequestRejectedError as rejected:
            problems += [f'No bulk change back to "{way.rate_plan}" was prepared: {one}' for one in rejected.problems]
    return Repaired(waiting=_waiting(database, provider), problems=tuple(problems))


def _waiting(database: Database, provider: ServiceProvider) -> tuple[int, ...]:
    # Of earlier passes too, and under an earlier policy: they hold their devices until somebody sends them.
    with database.begin() as tx:
        return tuple(repairs.waiting(tx, provider, ACTOR))


def _request(provider: ServiceProvider, way: WayBack) -> BulkChangeRequest:
    return BulkChangeRequest(
        service_provider_id=provider.id,
        process_changes=False,
        rate_plan=way.rate_plan,
        communication_plan=way.communication_plan,
        devices=tuple(way.iccids),
        invalid_rows=InvalidRows.SKIP,
    )
