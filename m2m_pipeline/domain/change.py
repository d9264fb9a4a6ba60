"""A bulk change and its devices, as the services hand them round."""

from dataclasses import dataclass
from datetime import date, datetime

from m2m_pipeline.domain.carrier import PlanChange
from m2m_pipeline.domain.outcome import LastAnswer
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.status import BulkChangeStatus, DeviceStatus


@dataclass(frozen=True, slots=True)
class BulkChange:
    """One recorded request and where it stands."""

    id: int
    tenant_id: int
    service_provider_id: int
    status: BulkChangeStatus
    rate_plan: str
    communication_plan: str | None
    effective_date: date | None
    batch_size: int
    priority: int
    requested_by: str
    attempt: int
    reason: ReasonCode | None
    message: str | None
    carrier_calls: int
    work_seconds: float  # under a lease: of all attempts and of settling, as the calls are
    created_at: datetime
    queued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    settled_at: datetime | None  # when its end was last told anew
    result: dict[str, object] | None


@dataclass(frozen=True, slots=True)
class Target:
    """What a request asks for, the same for each of its devices."""

    rate_plan: str
    communication_plan: str | None
    effective_date: date | None


@dataclass(frozen=True, slots=True)
class MarkedRow:
    """A row of a request that is not simply recorded as PENDING: it waits, or has ended at the door with its reason."""

    row_number: int
    status: DeviceStatus
    reason: ReasonCode | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class DeviceWork:
    """One device of a batch that is being worked on."""

    id: int
    iccid: str
    status: DeviceStatus
    old_rate_plan: str | None
    old_communication_plan: str | None
    rate_plan: str
    communication_plan: str | None
    effective_date: date | None
    attempts: int
    sent_at: datetime | None
    last_answer: LastAnswer | None = None

    @property
    def change(self) -> PlanChange:
        """What the carrier is asked for."""
        return PlanChange(self.iccid, self.rate_plan, self.communication_plan, self.effective_date)


@dataclass(frozen=True, slots=True)
class Step:
    """A decided move of one device, to be committed: the new status and what is known about why.

    The old plans are as far as they are known now: what was written before anything was sent stays as it is.
    """

    device_change_id: int
    status: DeviceStatus
    reason: ReasonCode | None = None
    message: str | None = None
    http_status: int | None = None
    carrier_code: str | None = None
    verified: bool = False
    attempts: int = 0
    entry: str | None = None  # the kind of audit entry that goes with it (AuditKind), None for none
    last_answer: LastAnswer | None = None
    old_rate_plan: str | None = None
    old_communication_plan: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """A slice of a bulk change: one mapped step of the run. `key` names it in the Dagster UI."""

    bulk_change_id: int
    number: int
    devices: int
    key: str


@dataclass(frozen=True, slots=True)
class QueuedBulkChange:
    """What the dispatch sensor needs to start a run, and nothing more."""

    id: int
    attempt: int
    priority: int
    tenant: str
    provider: str
    account: str
