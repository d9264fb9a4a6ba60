"""API keys."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from m2m_pipeline.domain.permissions import Role
from m2m_pipeline.storage.schema.accounts import Tenant
from m2m_pipeline.storage.schema.base import NOW, Base, one_of


class ApiKey(Base):
    """What lets a program in: known by the SHA-256 of the key, which itself is nowhere stored."""

    __tablename__ = "api_key"
    __table_args__ = (
        UniqueConstraint("digest"),
        CheckConstraint(one_of("role", Role), "role"),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey(Tenant.id))
    name: Mapped[str]
    role: Mapped[str]
    digest: Mapped[bytes]
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
