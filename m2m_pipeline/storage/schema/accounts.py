"""Tenants, their carrier accounts, plans and devices."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from m2m_pipeline.domain.accounts import DriftPolicy, VerifyMode
from m2m_pipeline.storage.schema.base import NOW, Base, one_of, within_tenant


class Tenant(Base):
    """A company whose devices and changes nobody else sees."""

    __tablename__ = "tenant"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    max_devices: Mapped[int] = mapped_column(server_default=text("100000"))
    max_open_changes: Mapped[int] = mapped_column(server_default=text("1000"))
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
        CheckConstraint(one_of("drift", DriftPolicy), "drift"),
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
    drift: Mapped[str] = mapped_column(server_default=text("'report'"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class CarrierCredential(Base):
    """The API user of a service provider, and its key: encrypted, or a reference to where it is kept."""

    __tablename__ = "carrier_credential"
    __table_args__ = (
        within_tenant("service_provider_id", "service_provider"),
        CheckConstraint("num_nonnulls(ciphertext, reference) = 1", "one_key"),
        Index("ix_carrier_credential_username", "username"),  # each ask for permits looks for the account's providers
    )
    service_provider_id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int]
    username: Mapped[str]
    ciphertext: Mapped[bytes | None]
    reference: Mapped[str | None]
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
