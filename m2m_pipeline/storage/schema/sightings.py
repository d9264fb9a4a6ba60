"""The tables of what list pages show, and of whose turn it is to read them."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from m2m_pipeline.storage.schema.accounts import ServiceProvider
from m2m_pipeline.storage.schema.base import Base
from m2m_pipeline.storage.schema.changes import BulkChange, DeviceChange


class Sighting(Base):
    """When a list page was asked for, last, that shows a device on the plan its change is to bring it to."""

    __tablename__ = "sighting"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)
    device_change_id: Mapped[int] = mapped_column(ForeignKey(DeviceChange.id), primary_key=True, autoincrement=False)
    asked_at: Mapped[datetime]


class ListTurn(Base):
    """Which attempt reads list pages of a service provider, as long as it holds its lease."""

    __tablename__ = "list_turn"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)
    service_provider_id: Mapped[int] = mapped_column(
        ForeignKey(ServiceProvider.id), primary_key=True, autoincrement=False
    )
    bulk_change_id: Mapped[int] = mapped_column(ForeignKey(BulkChange.id))
    lease_token: Mapped[int]
