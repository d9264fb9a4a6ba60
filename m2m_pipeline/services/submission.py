"""Submission: examine a request, say everything that is wrong with it, or record and queue it in one commit."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from m2m_pipeline.domain.accounts import ServiceProvider, Tenant
from m2m_pipeline.domain.audit import AuditKind
from m2m_pipeline.domain.batching import batch_size
from m2m_pipeline.domain.carrier import Carriers
from m2m_pipeline.domain.change import RequestedRow, Target
from m2m_pipeline.domain.dates import effective_date_problem, parse_effective_date
from m2m_pipeline.domain.problems import Problem, RequestRejectedError, shown
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.request import CARRIER_RATE_PLAN_CHANGE, BulkChangeRequest, InvalidRows
from m2m_pipeline.domain.rows import requested_rows, row_problems
from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline.services.reporting import BulkChangeUnknownError
from m2m_pipeline.storage import accounts, audit, bulk_changes, device_changes, inventory
from m2m_pipeline.storage.bulk_changes import NewBulkChange
from m2m_pipeline.storage.database import Database
from m2m_pipeline.storage.inventory import KnownDevice

KEYS_ARE_KEPT = timedelta(days=7)
"""For how long the same idempotency key is the same request."""


NO_TARGET = Target("", None, None)


@dataclass(frozen=True, slots=True)
class Recorded:
    """An accepted request. `replayed`: the idempotency key was known, and this is what it made the first time."""

    bulk_change_id: int
    status: BulkChangeStatus
    replayed: bool


@dataclass(frozen=True, slots=True)
class Examined:
    """What was seen of a request. Without a provider, or with too many devices, no device was looked at."""

    problems: list[Problem]  # of the request as a whole
    row_problems: list[Problem]
    provider: ServiceProvider | None = None
    target: Target = NO_TARGET
    found: dict[str, KnownDevice] = field(default_factory=dict[str, KnownDevice])
    waiting: set[str] = field(default_factory=set[str])  # found devices that an earlier bulk change under way has

    def refuses(self, request: BulkChangeRequest) -> bool:
        """Whether the request as a whole is rejected."""
        return bool(self.problems or (self.row_problems and request.invalid_rows is InvalidRows.REJECT))

    def rows(self, iccids: Sequence[str]) -> list[RequestedRow]:
        """The rows as they are recorded."""
        known = {iccid: device.device_id for iccid, device in self.found.items()}
        return requested_rows(iccids, known, self.waiting, self.row_problems)


class KeyInProgressError(Exception):
    """Another request with the same idempotency key is being recorded at this moment."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f'A request with the key "{shown(key)}" is being recorded just now. Nothing was done; send the same again '
            "in a second to hear what became of it."
        )


class NotProcessableError(Exception):
    """A bulk change that cannot be queued, because it is not waiting for it."""


def request_problems(
    connection: Connection, carriers: Carriers, provider: ServiceProvider, target: Target
) -> list[Problem]:
    """What is wrong with the request as a whole, its devices aside. Asked at the door and again by the job."""
    rate_plan, communication_plan = target.rate_plan, target.communication_plan
    problems: list[Problem] = []
    capabilities = carriers.capabilities(provider.integration_type)
    if capabilities is None:
        kind = provider.integration_type
        message = f'Service provider "{provider.name}" is of type "{kind}", which no adapter serves.'
        problems.append(Problem(ReasonCode.PROVIDER_UNSUPPORTED, message, "provider", provider.name))
    if rate_plan and not accounts.has_rate_plan(connection, provider.id, rate_plan):
        message = f'"{shown(rate_plan)}" is no rate plan of "{provider.name}".'
        problems.append(Problem(ReasonCode.RATE_PLAN_UNKNOWN, message, "rate_plan", shown(rate_plan)))
    if communication_plan and not accounts.has_communication_plan(connection, provider.id, communication_plan):
        message = f'"{shown(communication_plan)}" is no communication plan of "{provider.name}".'
        value = shown(communication_plan)
        problems.append(Problem(ReasonCode.COMMUNICATION_PLAN_UNKNOWN, message, "communication_plan", value))
    if target.effective_date and capabilities:
        today = datetime.now(UTC).date()
        fault = effective_date_problem(target.effective_date, today, capabilities.effective_date_horizon_days)
        problems.extend([fault] if fault else [])
    return problems


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

    def submit(
        self, tenant_name: str, request: BulkChangeRequest, requested_by: str, *, wait_for_key: bool = True
    ) -> Recorded:
        """Record the request, and queue it unless it says otherwise.

        `wait_for_key`: where another request with the same key is being recorded, wait for it and tell its outcome.

        Raises:
            RequestRejectedError: with every reason; nothing was recorded.
            KeyInProgressError: there is such another, and it is not waited for.
            DatabaseUnavailableError: nothing was recorded.
            DatabaseRefusedError: nothing was recorded.

        """

        def look(tx: Connection) -> Recorded:
            if not wait_for_key:
                _claim_key(tx, tenant_name, request)
            return self.record(tx, tenant_name, request, requested_by)

        return self._database.decide(look)

    def record(self, tx: Connection, tenant_name: str, request: BulkChangeRequest, requested_by: str) -> Recorded:
        """`submit` within a transaction of the caller, who makes it anew where an IntegrityError tells of a race.

        Raises:
            RequestRejectedError: with every reason; the transaction is as it was.

        """
        return self._replayed(tx, tenant_name, request) or self._record(tx, tenant_name, request, requested_by)

    def process(self, tenant_name: str, bulk_change_id: int) -> Recorded:
        """Queue a bulk change that was recorded as NEW.

        Raises:
            BulkChangeUnknownError: the tenant has none of that id.
            NotProcessableError: it is not NEW.

        """
        with self._database.begin() as tx:
            tenant = accounts.find_tenant(tx, tenant_name)
            change = bulk_changes.find(tx, bulk_change_id, tenant.id) if tenant else None
            if change is None:
                raise BulkChangeUnknownError(bulk_change_id)
            if not bulk_changes.queue(tx, bulk_change_id):
                message = f"Bulk change {bulk_change_id} is {change.status}; only NEW ones can be processed."
                raise NotProcessableError(f"{message} Nothing was done.")
        return Recorded(bulk_change_id, BulkChangeStatus.QUEUED, replayed=False)

    def _replayed(self, tx: Connection, tenant_name: str, request: BulkChangeRequest) -> Recorded | None:
        tenant = accounts.find_tenant(tx, tenant_name)
        key = request.idempotency_key
        if tenant is None or key is None:
            return None
        bulk_changes.release_key(tx, tenant.id, key, KEYS_ARE_KEPT)
        known = bulk_changes.find_by_key(tx, tenant.id, key)
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
        device_changes.insert_rows(tx, change, examined.rows(request.devices))
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

    def _examine(self, tx: Connection, tenant_name: str, request: BulkChangeRequest) -> Examined:
        """What is to be recorded, or every reason why not."""
        examined = self.examine(tx, tenant_name, request)
        if examined.provider is None or examined.refuses(request):
            raise RequestRejectedError([*examined.problems, *examined.row_problems])
        return examined

    def examine(self, tx: Connection, tenant_name: str, request: BulkChangeRequest) -> Examined:
        """Look at everything before saying anything."""
        problems = _shape_problems(request)
        tenant = accounts.find_tenant(tx, tenant_name)
        provider = _provider(tx, tenant, request)
        day = parse_effective_date(request.effective_date) if request.effective_date else None
        if request.effective_date and day is None:
            message = f'"{shown(request.effective_date)}" is no date.'
            value = shown(request.effective_date)
            problems.append(Problem(ReasonCode.EFFECTIVE_DATE_MALFORMED, message, "effective_date", value))
        if tenant is None or provider is None:
            return Examined([_no_provider(tenant_name, request), *problems], _rows_alone(request))
        if len(request.devices) > tenant.max_devices:
            message = f"{len(request.devices)} devices; tenant {tenant.name} may send {tenant.max_devices} at once."
            return Examined([*problems, Problem(ReasonCode.TOO_MANY_DEVICES, message, "devices")], [])
        if (count := bulk_changes.count_open(tx, tenant.id)) >= tenant.max_open_changes:
            message = f"{count} bulk changes are open; tenant {tenant.name} may have {tenant.max_open_changes} at once."
            problems.append(Problem(ReasonCode.TOO_MANY_OPEN_CHANGES, message))
        target = Target(request.rate_plan, request.communication_plan, day)
        problems += request_problems(tx, self._carriers, provider, target)
        found = inventory.find_known(tx, provider.id, request.devices)
        held = {iccid: device.bulk_change_id for iccid, device in found.items() if device.bulk_change_id is not None}
        waiting = {iccid for iccid in held if found[iccid].under_way} if self._may_wait else set[str]()
        rows = row_problems(
            request.devices,
            {iccid: device.device_id for iccid, device in found.items()},
            {iccid: holder for iccid, holder in held.items() if iccid not in waiting},
        )
        return Examined(problems, rows, provider, target, found, waiting)


def _claim_key(tx: Connection, tenant_name: str, request: BulkChangeRequest) -> None:
    tenant = accounts.find_tenant(tx, tenant_name)
    key = request.idempotency_key
    if tenant and key and not bulk_changes.claim_key(tx, tenant.id, key):
        raise KeyInProgressError(key)


def _shape_problems(request: BulkChangeRequest) -> list[Problem]:
    problems: list[Problem] = []
    if request.change_type != CARRIER_RATE_PLAN_CHANGE:
        message = f"ChangeType {request.change_type} is not a carrier rate plan change ({CARRIER_RATE_PLAN_CHANGE})."
        problems.append(Problem(ReasonCode.CHANGE_TYPE_UNSUPPORTED, message, "change_type", str(request.change_type)))
    if not request.rate_plan:
        problems.append(Problem(ReasonCode.RATE_PLAN_MISSING, "The request names no rate plan.", "rate_plan"))
    if not request.devices:
        problems.append(Problem(ReasonCode.NO_DEVICES, "The request lists no device.", "devices"))
    return problems


def _provider(tx: Connection, tenant: Tenant | None, request: BulkChangeRequest) -> ServiceProvider | None:
    if tenant is None or (request.provider is None and request.service_provider_id is None):
        return None
    return accounts.find_provider(tx, tenant.id, name=request.provider, provider_id=request.service_provider_id)


def _no_provider(tenant_name: str, request: BulkChangeRequest) -> Problem:
    asked = request.provider if request.provider is not None else request.service_provider_id
    if asked is None:
        return Problem(ReasonCode.PROVIDER_UNKNOWN, "The request names no service provider.", "provider")
    message = f'Tenant "{shown(tenant_name)}" has no service provider "{shown(asked)}".'
    return Problem(ReasonCode.PROVIDER_UNKNOWN, message, "provider", shown(asked))


def _rows_alone(request: BulkChangeRequest) -> list[Problem]:
    """What can be said of the rows without an inventory: their form, and duplicates."""
    everyone = dict.fromkeys(request.devices, 0)
    return row_problems(request.devices, everyone, {})
