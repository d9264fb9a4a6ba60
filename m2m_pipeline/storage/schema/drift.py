"""Reconciliation: its passes, the carrier's list while a pass reads it, and the differences that were found."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from m2m_pipeline.domain.drift import DriftCause, Resolution
from m2m_pipeline.domain.passes import OPEN_PASSES, PassPhase
from m2m_pipeline.storage.schema.base import NOW, Base, one_of, within_tenant


class ReconciliationPass(Base):
    """One comparison of a provider's inventory with the carrier's list, and its lease while it lasts."""

    __tablename__ = "reconciliation_pass"
    __table_args__ = (
        UniqueConstraint("id", "tenant_id"),
        within_tenant("service_provider_id", "service_provider"),
        CheckConstraint(one_of("phase", PassPhase), "phase"),
        Index(
            "uq_reconciliation_pass_open",
            "service_provider_id",
            unique=True,
            postgresql_where=text(one_of("phase", OPEN_PASSES)),
        ),
        Index("ix_reconciliation_pass_finished", "service_provider_id", "finished_at"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    tenant_id: Mapped[int]
    service_provider_id: Mapped[int]
    is_full: Mapped[bool]
    phase: Mapped[str] = mapped_column(server_default=text("'LISTING'"))
    since: Mapped[datetime | None]
    begun_at: Mapped[datetime | None]
    page: Mapped[int | None]
    sweeps: Mapped[int] = mapped_column(server_default=text("0"))
    listed: Mapped[int] = mapped_column(server_default=text("0"))
    checked: Mapped[int] = mapped_column(server_default=text("0"))
    unchecked: Mapped[int] = mapped_column(server_default=text("0"))
    carrier_calls: Mapped[int] = mapped_column(server_default=text("0"))
    calls_per_second: Mapped[Decimal] = mapped_column(server_default=text("0"))  # at most, that it was allowed so far
    counts: Mapped[dict[str, object]] = mapped_column(server_default=text("'{}'"))
    lease_owner: Mapped[str | None]
    lease_expires_at: Mapped[datetime | None]
    started_at: Mapped[datetime] = mapped_column(server_default=NOW)
    finished_at: Mapped[datetime | None]


class CarrierListing(Base):
    """What a pass has read of one device; deleted when the pass ends.

    A logged table: an unlogged one is emptied by a crash of the server, and an empty list is no empty account.
    """

    __tablename__ = "carrier_listing"
    pass_id: Mapped[int] = mapped_column(ForeignKey(ReconciliationPass.id), primary_key=True)
    iccid: Mapped[str] = mapped_column(primary_key=True)
    rate_plan: Mapped[str | None]
    communication_plan: Mapped[str | None]
    is_gone: Mapped[bool] = mapped_column(server_default=text("false"))
    checked_at: Mapped[datetime | None]


class Drift(Base):
    """A device on which AMOP and the carrier differ, from when it was seen first until it was resolved."""

    __tablename__ = "drift"
    __table_args__ = (
        within_tenant("service_provider_id", "service_provider"),
        within_tenant("pass_id", "reconciliation_pass"),
        CheckConstraint(one_of("cause", DriftCause), "cause"),
        CheckConstraint(one_of("resolution", Resolution), "resolution"),
        CheckConstraint("(resolution IS NULL) = (resolved_at IS NULL)", "resolved_somehow"),
        Index(
            "uq_drift_open",
            "service_provider_id",
            "iccid",
            unique=True,
            postgresql_where=text("resolved_at IS NULL"),
        ),
        Index("ix_drift_seen", "service_provider_id", "first_seen_at"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    tenant_id: Mapped[int]
    service_provider_id: Mapped[int]
    pass_id: Mapped[int]
    iccid: Mapped[str]
    cause: Mapped[str]
    amop_rate_plan: Mapped[str | None]
    amop_communication_plan: Mapped[str | None]
    carrier_rate_plan: Mapped[str | None]
    carrier_communication_plan: Mapped[str | None]
    first_seen_at: Mapped[datetime] = mapped_column(server_default=NOW)
    last_seen_at: Mapped[datetime] = mapped_column(server_default=NOW)
    resolved_at: Mapped[datetime | None]
    resolution: Mapped[str | None]
