"""The web page: who is signed in, and what they have prepared and not yet confirmed."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from m2m_pipeline.domain.permissions import Role
from m2m_pipeline.storage.schema.accounts import Tenant
from m2m_pipeline.storage.schema.base import NOW, Base, one_of


class PageSession(Base):
    """One browser that is signed in: known by the SHA-256 of its cookie, which itself is nowhere stored."""

    __tablename__ = "page_session"
    __table_args__ = (UniqueConstraint("digest"), CheckConstraint(one_of("role", Role), "role"))
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey(Tenant.id))
    actor: Mapped[str]
    name: Mapped[str]
    role: Mapped[str]
    digest: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    last_seen_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime]


class PageDraft(Base):
    """A request between its preview and its confirmation: no bulk change, and gone with the session."""

    __tablename__ = "page_draft"
    __table_args__ = (Index("ix_page_draft_session", "page_session_id"),)
    id: Mapped[str] = mapped_column(primary_key=True)
    page_session_id: Mapped[int] = mapped_column(ForeignKey(PageSession.id, ondelete="CASCADE"))
    request: Mapped[dict[str, object]]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    bulk_change_id: Mapped[int | None]
