"""What the API takes and answers with, where it is no document of the services."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from m2m_pipeline.domain.permissions import Role
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.request import MAX_NAME_LENGTH, NO_CONTROL_CHARACTERS
from m2m_pipeline.domain.status import BulkChangeStatus, DeviceStatus
from m2m_pipeline.services.reporting import ResultDocument
from m2m_pipeline.services.standings import Standing

BASE = "/api/v1"


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


def links(bulk_change_id: int) -> Mapping[str, str]:
    """Where the parts of a bulk change are."""
    own = f"{BASE}/bulk-changes/{bulk_change_id}"
    return {"self": own, **{part: f"{own}/{part}" for part in ("devices", "result", "events")}}


class RecordedChange(_Answer):
    """A bulk change as it was accepted: a replayed answer is the same to the letter."""

    id: int
    status: BulkChangeStatus = Field(description="NEW or QUEUED: how it was recorded, wherever it stands now")
    provider: str
    rate_plan: str
    communication_plan: str | None
    effective_date: date | None
    batch_size: int
    priority: int
    requested_by: str
    devices: int
    created_at: datetime
    links: Mapping[str, str]


class ChangeInList(_Answer):
    """A bulk change in a list."""

    id: int
    status: BulkChangeStatus
    provider: str
    rate_plan: str
    communication_plan: str | None
    requested_by: str
    devices: int
    counts: dict[DeviceStatus, int] | None = Field(description="Devices by how they ended; null before its end")
    reason: ReasonCode | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    links: Mapping[str, str]


class ChangePage(_Answer):
    """A page of bulk changes, the latest first. `next` is null on the last page."""

    items: list[ChangeInList]
    next: str | None


class ChangeDetail(ResultDocument):
    """The result document, and where the parts are."""

    links: Mapping[str, str]


class Queued(_Answer):
    """A bulk change that was queued."""

    id: int
    status: BulkChangeStatus
    links: Mapping[str, str]


class RetriedChange(Queued):
    """A bulk change that was queued again, in devices."""

    pending: int = Field(description="Devices that are tried again")
    held: int = Field(description="Devices that stay refused, because another bulk change has them")


class DeviceInChange(_Answer):
    """A device of a bulk change."""

    row: int
    iccid: str
    status: DeviceStatus
    old_rate_plan: str | None
    new_rate_plan: str
    attempts: int
    reason: ReasonCode | None
    message: str | None
    carrier_code: str | None
    sent_at: datetime | None
    ended_at: datetime | None


class DevicePage(_Answer):
    """A page of devices in row order. `next` is null on the last page."""

    items: list[DeviceInChange]
    next: str | None


class PastChangeOfDevice(DeviceInChange):
    """What one bulk change meant for a device."""

    bulk_change_id: int
    bulk_change_status: BulkChangeStatus
    provider: str


class HistoryPage(_Answer):
    """A page of what became of a device, the latest first. `next` is null on the last page."""

    iccid: str
    items: list[PastChangeOfDevice]
    next: str | None


class Provider(_Answer):
    """A service provider, what may be asked of it, and how its account stands now."""

    id: int
    name: str
    integration_type: str
    writes_enabled: bool
    calls_per_second: float
    in_flight: int
    verify: str
    rate_plans: list[str]
    communication_plans: list[str]
    standing: Standing


class ProviderList(_Answer):
    """The tenant's service providers by name."""

    items: list[Provider]


class KeyRequest(BaseModel):
    """A key that is wanted."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH, pattern=NO_CONTROL_CHARACTERS)]
    role: Role


class Key(_Answer):
    """An API key; what lets in is not in it."""

    id: int
    name: str
    role: Role
    created_by: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


class KeyList(_Answer):
    """The tenant's API keys, the revoked ones too."""

    items: list[Key]


class NewKey(Key):
    """A new API key with its secret, which cannot be had again."""

    secret: str


class LegacyAnswer(_Answer):
    """As the existing system answers: where the bulk change is, or why there is none (with status 200 too)."""

    redirectUrl: str | None = None  # noqa: N815 -- the existing system's name
    errors: list[str] = []


class Health(_Answer):
    """Whether the service answers, and what it needs."""

    status: str
    checks: dict[str, str] = {}
