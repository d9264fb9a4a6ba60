"""The result document: one shape for command line, Dagster, API and page, folded from stored rows and nothing else."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection

from m2m_pipeline.domain.change import BulkChange
from m2m_pipeline.domain.reasons import REASONS, ReasonCode
from m2m_pipeline.domain.status import SETTLED_DEVICES, BulkChangeStatus, DeviceStatus
from m2m_pipeline.storage import accounts, bulk_changes, tallies
from m2m_pipeline.storage.database import Database
from m2m_pipeline.storage.tallies import Tally

RESULT_COLUMNS = ("iccid", "status", "old_plan", "new_plan", "carrier_code", "message")


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True)


class ReasonCount(_Document):
    """Devices that ended alike (status, reason, carrier code), with up to five examples and the message of one."""

    status: DeviceStatus
    reason: ReasonCode
    title: str
    next_step: str
    count: int
    examples: tuple[str, ...]
    carrier_code: str | None
    message: str | None

    @property
    def carrier_answer(self) -> str:
        """`10000021: Invalid ICCID`; empty where the carrier gave no code."""
        return ": ".join(filter(None, (self.carrier_code, self.message))) if self.carrier_code else ""


class Timings(_Document):
    """When what happened (UTC); durations in seconds.

    Queue and processing are the last attempt's; `work_seconds` are those of all attempts and of settling, as
    `carrier_calls` are. `settled_at`: when reconciliation last told the end anew; `finished_at` stays.
    """

    created_at: datetime
    queued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    settled_at: datetime | None
    queued_seconds: float | None
    processing_seconds: float | None
    work_seconds: float

    @property
    def ended_at(self) -> datetime | None:
        """The moment of its latest end; None where it has not ended."""
        return self.settled_at or self.finished_at


class ResultDocument(_Document):
    """The truth about a bulk change, as far as it is known now."""

    id: int
    status: BulkChangeStatus
    provider: str
    rate_plan: str
    communication_plan: str | None
    effective_date: date | None
    requested_by: str
    attempt: int
    reason: ReasonCode | None
    message: str | None
    total: int
    counts: dict[DeviceStatus, int]
    failures: tuple[ReasonCount, ...]
    skipped: tuple[ReasonCount, ...]
    carrier_calls: int
    timings: Timings

    @property
    def settled(self) -> int:
        """Devices whose outcome is known for good."""
        return sum(self.counts.get(status, 0) for status in SETTLED_DEVICES)


class BulkChangeUnknownError(Exception):
    """The tenant has no such bulk change."""

    def __init__(self, bulk_change_id: int) -> None:
        super().__init__(
            f"There is no bulk change {bulk_change_id} for this tenant. Trying again does not help; "
            "check the id and --tenant."
        )


def fold(connection: Connection, change: BulkChange) -> ResultDocument:
    """The document of a bulk change as its rows stand in this transaction."""
    found = tallies.tally(connection, change.id)
    provider = accounts.find_provider(connection, change.tenant_id, provider_id=change.service_provider_id)
    counts: dict[DeviceStatus, int] = {}
    for one in found:
        counts[one.status] = counts.get(one.status, 0) + one.count
    return ResultDocument(
        id=change.id,
        status=change.status,
        provider=provider.name if provider else "",
        rate_plan=change.rate_plan,
        communication_plan=change.communication_plan,
        effective_date=change.effective_date,
        requested_by=change.requested_by,
        attempt=change.attempt,
        reason=change.reason,
        message=change.message,
        total=sum(counts.values()),
        counts=counts,
        failures=_by_reason(found, {DeviceStatus.REFUSED, DeviceStatus.UNCONFIRMED, DeviceStatus.AMOP_FAILED}),
        skipped=_by_reason(found, {DeviceStatus.SKIPPED}),
        carrier_calls=change.carrier_calls,
        timings=Timings(
            created_at=change.created_at,
            queued_at=change.queued_at,
            started_at=change.started_at,
            finished_at=change.finished_at,
            settled_at=change.settled_at,
            queued_seconds=_seconds(change.queued_at, change.started_at),
            processing_seconds=_seconds(change.started_at, change.finished_at),
            work_seconds=round(change.work_seconds, 3),
        ),
    )


class Reporting:
    """What is asked about bulk changes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def document(self, tenant_name: str, bulk_change_id: int) -> ResultDocument:
        """The result document of a tenant's bulk change.

        Raises:
            BulkChangeUnknownError: the tenant has none of that id.

        """
        with self._database.begin() as tx:
            return fold(tx, self._find(tx, tenant_name, bulk_change_id))

    def rows(self, tenant_name: str, bulk_change_id: int) -> Iterator[tuple[str, ...]]:
        """One tuple a device in row order, as `RESULT_COLUMNS` names them.

        Raises:
            BulkChangeUnknownError: the tenant has none of that id.

        """
        with self._database.begin() as tx:
            yield from tallies.each_result(tx, self._find(tx, tenant_name, bulk_change_id).id)

    @staticmethod
    def _find(connection: Connection, tenant_name: str, bulk_change_id: int) -> BulkChange:
        tenant = accounts.find_tenant(connection, tenant_name)
        change = bulk_changes.find(connection, bulk_change_id, tenant.id) if tenant else None
        if change is None:
            raise BulkChangeUnknownError(bulk_change_id)
        return change


def _by_reason(found: Sequence[Tally], statuses: set[DeviceStatus]) -> tuple[ReasonCount, ...]:
    return tuple(
        ReasonCount(
            status=one.status,
            reason=one.reason,
            title=REASONS[one.reason].title,
            next_step=REASONS[one.reason].next_step,
            count=one.count,
            examples=tuple(one.examples),
            carrier_code=one.carrier_code,
            message=one.message,
        )
        for one in found
        if one.status in statuses and one.reason is not None
    )


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return round((end - start).total_seconds(), 3) if start and end else None
