"""The audit log with its seals, the marks of transactions, and the budget of each carrier account."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, CheckConstraint, ForeignKey, Identity, Index, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from m2m_pipeline.domain.audit import AuditKind
from m2m_pipeline.storage.schema.accounts import Tenant
from m2m_pipeline.storage.schema.base import NOW, Base, one_of


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
            "retry",
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
    retry: Mapped[int] = mapped_column(server_default=text("0"))
    iccid: Mapped[str | None]
    old_rate_plan: Mapped[str | None]
    new_rate_plan: Mapped[str | None]
    outcome: Mapped[str]
    reason: Mapped[str | None]
    message: Mapped[str | None]
    request: Mapped[dict[str, object] | None]
    response: Mapped[dict[str, object] | None]


class AuditLink(Base):
    """One link of a tenant's chain: the seal of one entry (`domain.audit_chain`). Append-only, as the entries are.

    Without a foreign key: it would cost each seal a lookup, and stop nobody who can remove entries at all.
    """

    __tablename__ = "audit_link"
    tenant_id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    entry_id: Mapped[int] = mapped_column(unique=True)
    sealed_at: Mapped[datetime]
    hash: Mapped[bytes]


class AuditSigned(Base):
    """Up to which number of a tenant's chain digests were seen at a place: of a removed tenant's, too."""

    __tablename__ = "audit_signed"
    tenant_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    place: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int]


class Purged(Base):
    """What the retention removed that was no tenant's. Of tenants the audit log tells."""

    __tablename__ = "purged"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=NOW)
    records: Mapped[str]
    count: Mapped[int]
    before: Mapped[datetime]


class TransactionMark(Base):
    """What a transaction leaves, so that it is known to be committed where the answer was lost (`storage.marks`)."""

    __tablename__ = "transaction_mark"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[int | None]
    left_at: Mapped[datetime] = mapped_column(server_default=NOW)


class CarrierGate(Base):
    """What is remembered of a carrier account (`domain.budget.gate.Gate`). Times are seconds of the database clock."""

    __tablename__ = "carrier_gate"
    account: Mapped[str] = mapped_column(primary_key=True)
    next_call_at: Mapped[float] = mapped_column(server_default=text("0"))
    pace: Mapped[float | None]
    paced_at: Mapped[float] = mapped_column(server_default=text("0"))
    recent: Mapped[list[bool]] = mapped_column(ARRAY(Boolean), server_default=text("'{}'"))
    probe_at: Mapped[float | None]
    waiting: Mapped[list[dict[str, object]]] = mapped_column(JSONB, server_default=text("'[]'"))
    open_since: Mapped[float | None]
    lost: Mapped[int] = mapped_column(server_default=text("0"))
    lost_at: Mapped[float | None]
    rests_until: Mapped[float] = mapped_column(server_default=text("0"))


class CarrierCall(Base):
    """A call that was granted and has not ended: together, the account's calls in flight."""

    __tablename__ = "carrier_call"
    __table_args__ = (Index("ix_carrier_call_account", "account"),)
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    account: Mapped[str]
    holder: Mapped[str]
    ends_at: Mapped[float]
