"""The messages of inbound queues."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from m2m_pipeline.domain.inbox import InboxStatus
from m2m_pipeline.storage.schema.accounts import Tenant
from m2m_pipeline.storage.schema.base import NOW, Base, one_of, within_tenant


class InboxMessage(Base):
    """A message that could be read, and what became of it. The unique id makes of many deliveries one effect."""

    __tablename__ = "inbox_message"
    __table_args__ = (
        UniqueConstraint("tenant_id", "message_id"),
        within_tenant("bulk_change_id", "bulk_change"),
        CheckConstraint(one_of("status", InboxStatus), "status"),
        CheckConstraint("(status = 'ACCEPTED') = (bulk_change_id IS NOT NULL)", "accepted_is_a_change"),
        CheckConstraint("(status = 'REJECTED') = (jsonb_array_length(problems) > 0)", "rejected_has_reasons"),
        Index("ix_inbox_message_key", "tenant_id", "idempotency_key"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey(Tenant.id))
    message_id: Mapped[str]
    idempotency_key: Mapped[str | None]
    sender: Mapped[str]
    status: Mapped[str]
    bulk_change_id: Mapped[int | None]
    problems: Mapped[list[dict[str, object]]] = mapped_column(JSONB)
    received_at: Mapped[datetime] = mapped_column(server_default=NOW)
