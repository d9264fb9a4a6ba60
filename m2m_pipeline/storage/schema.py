"""The tables, in the schema `m2m`. Constraints carry the rules; the migrations make them."""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    MetaData,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from m2m_pipeline.domain.accounts import VerifyMode
from m2m_pipeline.domain.audit import AuditKind
from m2m_pipeline.domain.status import OPEN_DEVICES, BulkChangeStatus, DeviceStatus

SCHEMA = "m2m"
NOW = text("clock_timestamp()")


def one_of(column: str, values: type[StrEnum] | frozenset[DeviceStatus]) -> str:
    """`column IN ('A', 'B')` for a constraint or a partial index."""
    return f"{column} IN ({', '.join(repr(value.value) for value in sorted(values))})"


def within_tenant(column: str, table: str) -> ForeignKeyConstraint:
    """A foreign key that also holds the tenant: no row ever points at another tenant's."""
    return ForeignKeyConstraint([column, "tenant_id"], [f"{SCHEMA}.{table}.id", f"{SCHEMA}.{table}.tenant_id"])


class Base(DeclarativeBase):
    """Named constraints, so that migrations can name them too."""

    metadata = MetaData(
        schema=SCHEMA,
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        },
    )
    type_annotation_map = {  # noqa: RUF012 -- SQLAlchemy's own declaration style
        str: Text,
        int: BigInteger,
        datetime: TIMESTAMP(timezone=True),
        dict[str, object]: JSONB,
    }


class Tenant(Base):
    """A company whose devices and changes nobody else sees."""

    __tablename__ = "tenant"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    max_devices: Mapped[int] = mapped_column(server_default=text("100000"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ServiceProvider(Base):
    """One carrier integration of one tenant."""

    __tablename__ = "service_provider"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name"),
        UniqueConstraint("id", "tenant_id"),
        CheckConstraint("calls_per_second > 0", "calls_per_second"),
        CheckConstraint("in_flight > 0", "in_flight"),
        CheckConstraint(one_of("verify", VerifyMode), "verify"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey(Tenant.id))
    name: Mapped[str]
    integration_type: Mapped[str]
    base_url: Mapped[str]
    calls_per_second: Mapped[Decimal] = mapped_column(server_default=text("5"))
    in_flight: Mapped[int] = mapped_column(server_default=text("1"))
    verify: Mapped[str] = mapped_column(server_default=text("'pages'"))
    writes_enabled: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class CarrierCredential(Base):
    """The user name and the encrypted API key of a service provider."""

    __tablename__ = "carrier_credential"
    __table_args__ = (within_tenant("service_provider_id", "service_provider"),)
    service_provider_id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int]
    username: Mapped[str]
    ciphertext: Mapped[bytes]
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class CarrierRatePlan(Base):
    """A rate plan that may be asked for, by the name that goes over the wire."""

    __tablename__ = "carrier_rate_plan"
    __table_args__ = (
        UniqueConstraint("service_provider_id", "name"),
        within_tenant("service_provider_id", "service_provider"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    tenant_id: Mapped[int]
    service_provider_id: Mapped[int]
    name: Mapped[str]
    retired_at: Mapped[datetime | None]


class CommunicationPlan(Base):
    """A communication plan that may be asked for, by the name that goes over the wire."""

    __tablename__ = "communication_plan"
    __table_args__ = (
        UniqueConstraint("service_provider_id", "name"),
        within_tenant("service_provider_id", "service_provider"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    tenant_id: Mapped[int]
    service_provider_id: Mapped[int]
    name: Mapped[str]
    retired_at: Mapped[datetime | None]


class Device(Base):
    """AMOP's inventory: one SIM, and the plan that AMOP believes it to be on."""

    __tablename__ = "device"
    __table_args__ = (
        UniqueConstraint("service_provider_id", "iccid"),
        within_tenant("service_provider_id", "service_provider"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    tenant_id: Mapped[int]
    service_provider_id: Mapped[int]
    iccid: Mapped[str]
    msisdn: Mapped[str | None]
    imsi: Mapped[str | None]
    sim_status: Mapped[str | None]
    rate_plan: Mapped[str | None]
    communication_plan: Mapped[str | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class BulkChange(Base):
    """One request, its place in the queue, and its lease."""

    __tablename__ = "bulk_change"
    __table_args__ = (
        UniqueConstraint("tenant_id", "idempotency_key"),
        UniqueConstraint("id", "tenant_id"),
        within_tenant("service_provider_id", "service_provider"),
        CheckConstraint(one_of("status", BulkChangeStatus), "status"),
        CheckConstraint("batch_size BETWEEN 1 AND 2000", "batch_size"),
        Index(
            "ix_bulk_change_queue",
            text("priority DESC"),
            "queued_at",
            postgresql_where=text("status = 'QUEUED'"),
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
    lease_token: Mapped[int] = mapped_column(server_default=text("0"))
    lease_owner: Mapped[str | None]
    lease_expires_at: Mapped[datetime | None]
    reason: Mapped[str | None]
    message: Mapped[str | None]
    carrier_calls: Mapped[int] = mapped_column(server_default=text("0"))
    result: Mapped[dict[str, object] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    queued_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class DeviceChange(Base):
    """One row of a request: where it stands, what it was before, and why it ended as it did."""

    __tablename__ = "device_change"
    __table_args__ = (
        UniqueConstraint("bulk_change_id", "row_number"),
        within_tenant("bulk_change_id", "bulk_change"),
        within_tenant("service_provider_id", "service_provider"),
        CheckConstraint(one_of("status", DeviceStatus), "status"),
        CheckConstraint("status NOT IN ('REFUSED', 'SKIPPED') OR reason IS NOT NULL", "no_end_without_reason"),
        Index(
            "uq_device_change_open",
            "service_provider_id",
            "iccid",
            unique=True,
            postgresql_where=text(one_of("status", OPEN_DEVICES)),
        ),
        Index("ix_device_change_batch", "bulk_change_id", "batch"),
        Index("ix_device_change_iccid", "service_provider_id", "iccid"),
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
    reason: Mapped[str | None]
    message: Mapped[str | None]
    http_status: Mapped[int | None]
    carrier_code: Mapped[str | None]
    sent_at: Mapped[datetime | None]
    verified_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class AuditEntry(Base):
    """Who did what to which device or account, when, and what was answered. Append-only: a trigger refuses the rest."""

    __tablename__ = "audit_entry"
    __table_args__ = (
        CheckConstraint(one_of("kind", AuditKind), "kind"),
        Index("ix_audit_entry_bulk_change", "bulk_change_id", "device_change_id"),
        # What is derived from a device row is written once, however often the step that writes it is run again.
        Index(
            "uq_audit_entry_once",
            "device_change_id",
            "kind",
            "outcome",
            unique=True,
            postgresql_where=text("kind IN ('AMOP_UPDATE', 'DEVICE_ENDED')"),
        ),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey(Tenant.id))
    at: Mapped[datetime] = mapped_column(server_default=NOW)
    kind: Mapped[str]
    actor: Mapped[str]
    service_provider_id: Mapped[int | None]
    bulk_change_id: Mapped[int | None]
    device_change_id: Mapped[int | None]
    iccid: Mapped[str | None]
    old_rate_plan: Mapped[str | None]
    new_rate_plan: Mapped[str | None]
    outcome: Mapped[str]
    reason: Mapped[str | None]
    message: Mapped[str | None]
    request: Mapped[dict[str, object] | None]
    response: Mapped[dict[str, object] | None]


class CarrierGate(Base):
    """The budget of one carrier account: the theoretical arrival time of the next call (GCRA)."""

    __tablename__ = "carrier_gate"
    account: Mapped[str] = mapped_column(primary_key=True)
    next_call_at: Mapped[datetime] = mapped_column(server_default=NOW)
