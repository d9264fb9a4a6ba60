"""Where notices go, the outbox, and the alerts."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from m2m_pipeline.domain.notices import DestinationKind, NoticeStatus
from m2m_pipeline.storage.schema.accounts import Tenant
from m2m_pipeline.storage.schema.base import NOW, Base, one_of, within_tenant


class NoticeDestination(Base):
    """Where a tenant's notices go. Without a tenant: where the operators' alerts go, which are about all tenants."""

    __tablename__ = "notice_destination"
    __table_args__ = (
        CheckConstraint(one_of("kind", DestinationKind), "kind"),
        CheckConstraint("(kind = 'WEBHOOK') = (secret IS NOT NULL)", "webhook_is_signed"),
        CheckConstraint("previous_secret IS NULL OR secret IS NOT NULL", "previous_after_newest"),
        Index(
            "uq_notice_destination_tenants",
            "tenant_id",
            "kind",
            "address",
            unique=True,
            postgresql_where=text("removed_at IS NULL"),
        ),
        Index(
            "uq_notice_destination_operators",
            "kind",
            "address",
            unique=True,
            postgresql_where=text("removed_at IS NULL AND tenant_id IS NULL"),
        ),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    tenant_id: Mapped[int | None] = mapped_column(ForeignKey(Tenant.id))
    kind: Mapped[str]
    address: Mapped[str]
    secret: Mapped[bytes | None]
    previous_secret: Mapped[bytes | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    removed_at: Mapped[datetime | None]


class Notice(Base):
    """The outbox: one event for one destination, written in the transaction of what it tells."""

    __tablename__ = "notice"
    __table_args__ = (
        UniqueConstraint("destination_id", "event_id"),
        within_tenant("bulk_change_id", "bulk_change"),
        CheckConstraint(one_of("status", NoticeStatus), "status"),
        CheckConstraint("(status = 'PENDING') = (ended_at IS NULL)", "ended_when_it_has_ended"),
        CheckConstraint("status <> 'DEAD' OR last_failure IS NOT NULL", "no_death_without_reason"),
        Index("ix_notice_due", "next_attempt_at", postgresql_where=text("status = 'PENDING'")),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    tenant_id: Mapped[int | None] = mapped_column(ForeignKey(Tenant.id))
    destination_id: Mapped[int] = mapped_column(ForeignKey(NoticeDestination.id))
    event_id: Mapped[str]
    event_type: Mapped[str]
    bulk_change_id: Mapped[int | None]
    body: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=text("'PENDING'"))
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=NOW)
    trying_since: Mapped[datetime] = mapped_column(server_default=NOW)
    last_failure: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    ended_at: Mapped[datetime | None]


class Alert(Base):
    """Something that an operator should look at: raised once, resolved once. Open while `resolved_at` is empty."""

    __tablename__ = "alert"
    __table_args__ = (
        Index("uq_alert_open", "name", "subject", unique=True, postgresql_where=text("resolved_at IS NULL")),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str]
    subject: Mapped[str]
    detail: Mapped[str]
    since: Mapped[datetime] = mapped_column(server_default=NOW)
    last_seen: Mapped[datetime] = mapped_column(server_default=NOW)
    resolved_at: Mapped[datetime | None]


class Heartbeat(Base):
    """When a part of the platform last gave a sign of life."""

    __tablename__ = "heartbeat"
    name: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=NOW)
