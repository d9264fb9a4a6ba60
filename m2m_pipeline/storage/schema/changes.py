"""Bulk changes and their devices."""

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from m2m_pipeline.domain.outcome import LastAnswer
from m2m_pipeline.domain.status import OPEN_DEVICES, BulkChangeStatus, DeviceStatus
from m2m_pipeline.storage.schema.accounts import Device
from m2m_pipeline.storage.schema.base import NOW, Base, one_of, within_tenant


class BulkChange(Base):
    """One request, its place in the queue, and its lease."""

    __tablename__ = "bulk_change"
    __table_args__ = (
        UniqueConstraint("tenant_id", "idempotency_key"),
        UniqueConstraint("id", "tenant_id"),
        UniqueConstraint("id", "tenant_id", "service_provider_id"),
        within_tenant("service_provider_id", "service_provider"),
        CheckConstraint(one_of("status", BulkChangeStatus), "status"),
        CheckConstraint("batch_size BETWEEN 1 AND 2000", "batch_size"),
        Index(
            "ix_bulk_change_queue",
            text("priority DESC"),
            "queued_at",
            postgresql_where=text("status = 'QUEUED'"),
        ),
        Index("ix_bulk_change_processing", "service_provider_id", postgresql_where=text("status = 'PROCESSING'")),
        Index("ix_bulk_change_tenant", "tenant_id", "id"),
        Index(
            "ix_bulk_change_unshown",
            "id",
            postgresql_where=text("shown_end IS DISTINCT FROM coalesce(settled_at, finished_at)"),
        ),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    tenant_id: Mapped[int]
    service_provider_id: Mapped[int]
    status: Mapped[str]
    rate_plan: Mapped[str]
    communication_plan: Mapped[str | None]
    effective_date: Mapped[date | None]
    batch_size: Mapped[int]
    priority: Mapped[int] = mapped_column(server_default=text("0"))
    requested_by: Mapped[str]
    request: Mapped[dict[str, object]]
    request_digest: Mapped[str]
    idempotency_key: Mapped[str | None]
    attempt: Mapped[int] = mapped_column(server_default=text("0"))
    attempt_queued_at: Mapped[datetime | None]
    fruitless_attempts: Mapped[int] = mapped_column(server_default=text("0"))
    lease_token: Mapped[int] = mapped_column(server_default=text("0"))
    lease_owner: Mapped[str | None]  # while QUEUED: the run that the last attempt was taken from
    lease_expires_at: Mapped[datetime | None]
    reason: Mapped[str | None]
    message: Mapped[str | None]
    carrier_calls: Mapped[int] = mapped_column(server_default=text("0"))
    work_seconds: Mapped[float] = mapped_column(server_default=text("0"))
    work_counted_at: Mapped[datetime | None]
    calls_per_second: Mapped[Decimal] = mapped_column(server_default=text("0"))  # at most, that it was allowed so far
    result: Mapped[dict[str, object] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    queued_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    settled_at: Mapped[datetime | None]
    shown_end: Mapped[datetime | None]  # the moment of the end that the catalog shows


class DeviceChange(Base):
    """One row of a request: where it stands, what it was before, and why it ended as it did."""

    __tablename__ = "device_change"
    __table_args__ = (
        UniqueConstraint("bulk_change_id", "row_number"),
        # One look at the bulk change for each of 100,000 rows: its own key answers for provider and tenant.
        ForeignKeyConstraint(
            ["bulk_change_id", "tenant_id", "service_provider_id"],
            [BulkChange.id, BulkChange.tenant_id, BulkChange.service_provider_id],
        ),
        CheckConstraint(one_of("status", DeviceStatus), "status"),
        CheckConstraint(one_of("last_answer", LastAnswer), "last_answer"),
        CheckConstraint("status NOT IN ('REFUSED', 'SKIPPED') OR reason IS NOT NULL", "no_end_without_reason"),
        Index(
            "uq_device_change_open",
            "service_provider_id",
            "iccid",
            unique=True,
            postgresql_include=["status"],  # so that they are counted by status from the index alone
            postgresql_where=text(one_of("status", OPEN_DEVICES)),
        ),
        Index("ix_device_change_waiting", "bulk_change_id", "iccid", postgresql_where=text("status = 'WAITING'")),
        Index("ix_device_change_batch", "bulk_change_id", "batch", postgresql_where=text("batch IS NOT NULL")),
        Index("ix_device_change_iccid", "service_provider_id", "iccid"),
        # Counted without a look at the rows: equal entries are stored once, and the tenant is there for the wall.
        Index("ix_device_change_outcome", "bulk_change_id", "status", "reason", "carrier_code", "tenant_id"),
        Index(
            "ix_device_change_reason",
            "bulk_change_id",
            "status",
            "reason",
            "carrier_code",
            "row_number",
            postgresql_where=text("reason IS NOT NULL"),
        ),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    tenant_id: Mapped[int]
    service_provider_id: Mapped[int]
    bulk_change_id: Mapped[int]
    row_number: Mapped[int]
    iccid: Mapped[str]
    device_id: Mapped[int | None] = mapped_column(ForeignKey(Device.id))
    status: Mapped[str]
    old_rate_plan: Mapped[str | None]
    old_communication_plan: Mapped[str | None]
    rate_plan: Mapped[str]
    communication_plan: Mapped[str | None]
    batch: Mapped[int | None]
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    retry: Mapped[int] = mapped_column(server_default=text("0"))
    reason: Mapped[str | None]
    message: Mapped[str | None]
    http_status: Mapped[int | None]
    carrier_code: Mapped[str | None]
    last_answer: Mapped[str | None]
    sent_at: Mapped[datetime | None]
    verified_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
