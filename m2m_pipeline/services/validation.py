"""What is wrong with a request: of the whole of it, and of each row, said all at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import Connection

from m2m_pipeline.domain.accounts import ServiceProvider, Tenant
from m2m_pipeline.domain.carrier import Carriers
from m2m_pipeline.domain.change import MarkedRow, Target
from m2m_pipeline.domain.dates import effective_date_problem, parse_effective_date
from m2m_pipeline.domain.problems import Problem, shown
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.request import CARRIER_RATE_PLAN_CHANGE, BulkChangeRequest, InvalidRows
from m2m_pipeline.domain.rows import marked_rows, row_problems
from m2m_pipeline.storage import accounts, bulk_changes, inventory, plans

NO_TARGET = Target("", None, None)


@dataclass(frozen=True, slots=True)
class Examined:
    """What was seen of a request. Without a provider, or with too many devices, no device was looked at."""

    problems: list[Problem]  # of the request as a whole
    row_problems: list[Problem]
    provider: ServiceProvider | None = None
    target: Target = NO_TARGET
    waiting: frozenset[str] = frozenset()  # devices that an earlier bulk change under way has

    def refuses(self, request: BulkChangeRequest) -> bool:
        """Whether the request as a whole is rejected."""
        return bool(self.problems or (self.row_problems and request.invalid_rows is InvalidRows.REJECT))

    def marked(self, iccids: Sequence[str]) -> list[MarkedRow]:
        """The rows that are not simply recorded to be sent."""
        return marked_rows(iccids, self.waiting, self.row_problems)


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
    if rate_plan and not plans.has_rate_plan(connection, provider.id, rate_plan):
        message = f'"{shown(rate_plan)}" is no rate plan of "{provider.name}".'
        problems.append(Problem(ReasonCode.RATE_PLAN_UNKNOWN, message, "rate_plan", shown(rate_plan)))
    if communication_plan and not plans.has_communication_plan(connection, provider.id, communication_plan):
        message = f'"{shown(communication_plan)}" is no communication plan of "{provider.name}".'
        value = shown(communication_plan)
        problems.append(Problem(ReasonCode.COMMUNICATION_PLAN_UNKNOWN, message, "communication_plan", value))
    if target.effective_date and capabilities:
        today = datetime.now(UTC).date()
        fault = effective_date_problem(target.effective_date, today, capabilities.effective_date_horizon_days)
        problems.extend([fault] if fault else [])
    return problems


def examine(
    tx: Connection, carriers: Carriers, tenant_name: str, request: BulkChangeRequest, *, may_wait: bool
) -> Examined:
    """Look at everything before saying anything; what could not be read is told with what is wrong with the rest.

    `may_wait`: a device that another bulk change has is no fault, where that one is under way.
    """
    seen = _examine_rest(tx, carriers, tenant_name, request, may_wait=may_wait)
    if not request.faults:
        return seen
    whole = [fault for fault in request.faults if fault.row is None]
    unread = {fault.location[0] for fault in whole if fault.location}
    if "service_provider_id" in unread:
        unread.add("provider")
    # What was not read is missed, too; to say so would tell the same thing twice.
    others = [problem for problem in seen.problems if problem.value is not None or problem.field not in unread]
    rows = {problem.row: problem for problem in [*seen.row_problems, *request.faults] if problem.row is not None}
    return replace(seen, problems=[*whole, *others], row_problems=[rows[row] for row in sorted(rows)])


def _examine_rest(
    tx: Connection, carriers: Carriers, tenant_name: str, request: BulkChangeRequest, *, may_wait: bool
) -> Examined:
    problems = _shape_problems(request)
    tenant = accounts.find_tenant(tx, tenant_name)
    provider = _provider(tx, tenant, request)
    day = parse_effective_date(request.effective_date) if request.effective_date else None
    if request.effective_date and day is None:
        message = f'"{shown(request.effective_date)}" is no date.'
        value = shown(request.effective_date)
        problems.append(Problem(ReasonCode.EFFECTIVE_DATE_MALFORMED, message, "effective_date", value))
    problems += (limits := _limit_problems(tx, tenant, request) if tenant else [])
    too_many = any(limit.code is ReasonCode.TOO_MANY_DEVICES for limit in limits)
    if provider is None:
        return Examined([_no_provider(tenant_name, request), *problems], [] if too_many else _rows_alone(request))
    target = Target(request.rate_plan, request.communication_plan, day)
    problems += request_problems(tx, carriers, provider, target)
    if too_many:
        return Examined(problems, [])
    hindered = inventory.find_hindered(tx, provider.id, request.devices)
    held = {one.iccid: one.bulk_change_id for one in hindered if one.bulk_change_id is not None}
    waiting = frozenset(one.iccid for one in hindered if may_wait and one.under_way)
    rows = row_problems(
        request.devices,
        {one.iccid for one in hindered if not one.known},
        {iccid: holder for iccid, holder in held.items() if iccid not in waiting},
    )
    return Examined(problems, rows, provider, target, waiting)


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


def _limit_problems(tx: Connection, tenant: Tenant, request: BulkChangeRequest) -> list[Problem]:
    problems: list[Problem] = []
    if len(request.devices) > tenant.max_devices:
        message = f"{len(request.devices)} devices; tenant {tenant.name} may send {tenant.max_devices} at once."
        problems.append(Problem(ReasonCode.TOO_MANY_DEVICES, message, "devices"))
    if (count := bulk_changes.count_open(tx, tenant.id)) >= tenant.max_open_changes:
        message = f"{count} bulk changes are open; tenant {tenant.name} may have {tenant.max_open_changes} at once."
        problems.append(Problem(ReasonCode.TOO_MANY_OPEN_CHANGES, message))
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
    return row_problems(request.devices, frozenset(), {})
