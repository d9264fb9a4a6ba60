"""Submission: examine a request, say everything that is wrong with it, or record and queue it in one commit."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from m2m_pipeline.domain.audit import AuditKind
from m2m_pipeline.domain.batching import batch_size
from m2m_pipeline.domain.carrier import Carriers
from m2m_pipeline.domain.change import BulkChange
from m2m_pipeline.domain.problems import Problem, RequestRejectedError, shown
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.request import BulkChangeRequest
from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline.services.browsing import RecordedRequest, recorded_request
from m2m_pipeline.services.reporting import BulkChangeUnknownError
from m2m_pipeline.services.validation import Examined, examine
from m2m_pipeline.storage import accounts, audit, bulk_changes, device_changes, idempotency
from m2m_pipeline.storage.bulk_changes import NewBulkChange
from m2m_pipeline.storage.database import Database

KEYS_ARE_KEPT = timedelta(days=7)
"""For how long the same idempotency key is the same request."""

CROWD = 50
"""Requests of one tenant that may be recorded at the same moment; where it has room for fewer, they take turns."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An accepted request. `replayed`: the idempotency key was known, and this is what it made the first time."""

    bulk_change_id: int
    status: BulkChangeStatus
    replayed: bool


@dataclass(frozen=True, slots=True)
class Accepted:
    """An accepted request as it is told to its client. `replayed`: as of `Recorded`."""

    request: RecordedRequest
    replayed: bool


class KeyInProgressError(Exception):
    """Another request with the same idempotency key is being recorded at this moment."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f'A request with the key "{shown(key)}" is being recorded just now. Nothing was done; send the same again '
            "in a second to hear what became of it."
        )


class NotProcessableError(Exception):
    """A bulk change that cannot be queued, because it is not waiting for it."""


class Submission:
    """The door: the command line, the API and the queue's inbox all come in here."""

    def __init__(self, database: Database, carriers: Carriers, *, may_wait: bool = False) -> None:
        """`may_wait`: a device that another bulk change has is not refused, where that one is under way."""
        self._database = database
        self._carriers = carriers
        self._may_wait = may_wait

    def behind(self, walled: Database) -> "Submission":
        """The same door for one tenant, behind the wall."""
        return Submission(walled, self._carriers, may_wait=self._may_wait)

    def submit(self, tenant_name: str, request: BulkChangeRequest, requested_by: str) -> Recorded:
        """Record the request, and queue it unless it says otherwise.

        Where another request with the same key is being recorded, wait for it and tell its outcome.

        Raises:
            RequestRejectedError: with every reason; nothing was recorded.
            DatabaseUnavailableError: nothing was recorded.
            CommitUnknownError: whether it was recorded cannot be told.
            DatabaseRefusedError: nothing was recorded.

        """
        return self._database.decide(lambda tx: self.record(tx, tenant_name, request, requested_by))

    def accept(self, tenant_name: str, request: BulkChangeRequest, requested_by: str) -> Accepted:
        """`submit` for a client that hears the whole record, read before the commit: nothing can fail after it.

        Raises:
            KeyInProgressError: another request with the same key is being recorded; it is not waited for.
            RequestRejectedError, DatabaseUnavailableError, CommitUnknownError, DatabaseRefusedError: as `submit`.

        """

        def look(tx: Connection) -> Accepted:
            _claim_key(tx, tenant_name, request)
            done = self.record(tx, tenant_name, request, requested_by)
            change = bulk_changes.find(tx, done.bulk_change_id)
            assert change is not None
            return Accepted(recorded_request(tx, change), done.replayed)

        return self._database.decide(look)

    def record(self, tx: Connection, tenant_name: str, request: BulkChangeRequest, requested_by: str) -> Recorded:
        """`submit` within a transaction of the caller, who makes it anew where an IntegrityError tells of a race.

        Raises:
            RequestRejectedError: with every reason; the transaction is as it was.

        """
        known = None if request.is_cut else self._replayed(tx, tenant_name, request)
        return known or self._record(tx, tenant_name, request, requested_by)

    def process(self, tenant_name: str, bulk_change_id: int, requested_by: str) -> Recorded:
        """Queue a bulk change that was recorded as NEW.

        Raises:
            BulkChangeUnknownError: the tenant has none of that id.
            NotProcessableError: it is not NEW.
            DatabaseUnavailableError, CommitUnknownError, DatabaseRefusedError: as `submit`.

        """

        def look(tx: Connection) -> Recorded:
            tenant = accounts.find_tenant(tx, tenant_name)
            change = bulk_changes.find(tx, bulk_change_id, tenant.id) if tenant else None
            if change is None:
                raise BulkChangeUnknownError(bulk_change_id)
            return _process(tx, change, requested_by)

        return self._database.decide(look)

    def _replayed(self, tx: Connection, tenant_name: str, request: BulkChangeRequest) -> Recorded | None:
        tenant = accounts.find_tenant(tx, tenant_name)
        key = request.idempotency_key
        if tenant is None or key is None:
            return None
        idempotency.hold(tx, tenant.id, key)
        idempotency.release(tx, tenant.id, key, KEYS_ARE_KEPT)
        known = idempotency.find(tx, tenant.id, key)
        if known is None:
            return None
        bulk_change_id, digest = known
        if digest != request.digest:
            message = f'Key "{shown(key)}" belongs to bulk change {bulk_change_id}, which is another request.'
            raise RequestRejectedError(
                [Problem(ReasonCode.IDEMPOTENCY_CONFLICT, message, "idempotency_key", shown(key))]
            )
        change = bulk_changes.find(tx, bulk_change_id)
        assert change is not None
        return Recorded(bulk_change_id, change.status, replayed=True)

    def _record(self, tx: Connection, tenant_name: str, request: BulkChangeRequest, requested_by: str) -> Recorded:
        bulk_changes.take_turn(tx, tenant_name, CROWD)
        examined = self._examine(tx, tenant_name, request)
        assert examined.provider is not None
        new = NewBulkChange(
            tenant_id=examined.provider.tenant_id,
            service_provider_id=examined.provider.id,
            rate_plan=request.rate_plan,
            communication_plan=request.communication_plan,
            effective_date=examined.target.effective_date,
            batch_size=batch_size(request.batch_size, len(request.devices), examined.provider.calls_per_second),
            priority=request.priority,
            requested_by=requested_by,
            request=request.without_devices,
            request_digest=request.digest,
            idempotency_key=request.idempotency_key,
        )
        change = bulk_changes.find(tx, bulk_changes.insert(tx, new))
        assert change is not None
        device_changes.insert_rows(tx, change, request.devices, examined.marked(request.devices))
        audit.write(
            tx,
            AuditKind.REQUEST_RECORDED,
            tenant_id=change.tenant_id,
            actor=requested_by,
            outcome="RECORDED",
            service_provider_id=change.service_provider_id,
            bulk_change_id=change.id,
            request=request.without_devices,
        )
        audit.write_endings(tx, change.id, requested_by)
        if request.process_changes:
            bulk_changes.queue(tx, change.id)
        return Recorded(change.id, BulkChangeStatus.QUEUED if request.process_changes else BulkChangeStatus.NEW, False)

    def examine(self, tx: Connection, tenant_name: str, request: BulkChangeRequest) -> Examined:
        """What would be recorded, and every reason against it."""
        return examine(tx, self._carriers, tenant_name, request, may_wait=self._may_wait)

    def _examine(self, tx: Connection, tenant_name: str, request: BulkChangeRequest) -> Examined:
        """What is to be recorded, or every reason why not."""
        examined = self.examine(tx, tenant_name, request)
        if examined.provider is None or examined.refuses(request):
            raise RequestRejectedError([*examined.problems, *examined.row_problems])
        return examined


def _process(tx: Connection, change: BulkChange, requested_by: str) -> Recorded:
    if not bulk_changes.queue(tx, change.id):
        message = f"Bulk change {change.id} is {change.status}; only NEW ones can be processed. Nothing was done."
        raise NotProcessableError(message)
    audit.write(
        tx,
        AuditKind.PROCESSING_REQUESTED,
        tenant_id=change.tenant_id,
        actor=requested_by,
        outcome=BulkChangeStatus.QUEUED.value,
        service_provider_id=change.service_provider_id,
        bulk_change_id=change.id,
    )
    return Recorded(change.id, BulkChangeStatus.QUEUED, replayed=False)


def _claim_key(tx: Connection, tenant_name: str, request: BulkChangeRequest) -> None:
    tenant = accounts.find_tenant(tx, tenant_name)
    key = request.idempotency_key
    if tenant and key and not idempotency.claim(tx, tenant.id, key):
        raise KeyInProgressError(key)
