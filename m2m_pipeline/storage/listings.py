"""Lists by pages. A page begins after the last row of the one before, so that new rows move nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlalchemy import Connection, Row, text

from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.status import BulkChangeStatus, DeviceStatus


@dataclass(frozen=True, slots=True)
class ChangeFilter:
    """Which bulk changes are meant; None for any."""

    status: BulkChangeStatus | None = None
    provider: str | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class ListedChange:
    """A bulk change in a list. `counts`: devices by how they ended, once the bulk change has ended."""

    id: int
    status: BulkChangeStatus
    provider: str
    rate_plan: str
    communication_plan: str | None
    requested_by: str
    devices: int
    counts: dict[DeviceStatus, int] | None
    reason: ReasonCode | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class ListedDevice:
    """One device of a bulk change."""

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


@dataclass(frozen=True, slots=True)
class PastChange:
    """What one bulk change meant for a device."""

    id: int  # of the device change; orders the list
    bulk_change_id: int
    provider: str
    bulk_change_status: BulkChangeStatus
    device: ListedDevice


_DEVICE_COLUMNS = (
    "c.row_number, c.iccid, c.status, c.old_rate_plan, c.rate_plan, c.attempts, c.reason, c.message, c.carrier_code, "
    "c.sent_at, c.ended_at"
)


def list_changes(
    connection: Connection, tenant_id: int, chosen: ChangeFilter, before: int | None, limit: int
) -> Sequence[ListedChange]:
    """A tenant's bulk changes, the latest first; those with an id below `before`."""
    rows = connection.execute(
        text(
            """
            SELECT b.id, b.status, p.name AS provider, b.rate_plan, b.communication_plan, b.requested_by, b.reason,
                b.created_at, b.started_at, b.finished_at, b.request -> 'device_count' AS devices,
                b.result -> 'counts' AS counts
            FROM m2m.bulk_change b JOIN m2m.service_provider p ON p.id = b.service_provider_id
            WHERE b.tenant_id = :tenant AND (CAST(:before AS bigint) IS NULL OR b.id < :before)
                AND (CAST(:status AS text) IS NULL OR b.status = :status)
                AND (CAST(:provider AS text) IS NULL OR p.name = :provider)
                AND (CAST(:created_from AS timestamptz) IS NULL OR b.created_at >= :created_from)
                AND (CAST(:created_before AS timestamptz) IS NULL OR b.created_at < :created_before)
            ORDER BY b.id DESC LIMIT :limit
            """
        ),
        {
            "tenant": tenant_id,
            "before": before,
            "status": chosen.status,
            "provider": chosen.provider,
            "created_from": chosen.created_from,
            "created_before": chosen.created_before,
            "limit": limit,
        },
    )
    return [
        ListedChange(
            id=row.id,
            status=BulkChangeStatus(row.status),
            provider=row.provider,
            rate_plan=row.rate_plan,
            communication_plan=row.communication_plan,
            requested_by=row.requested_by,
            devices=row.devices or 0,
            counts=_counts(row.counts),
            reason=ReasonCode(row.reason) if row.reason else None,
            created_at=row.created_at,
            started_at=row.started_at,
            finished_at=row.finished_at,
        )
        for row in rows
    ]


def list_devices(
    connection: Connection, bulk_change_id: int, status: DeviceStatus | None, after: int, limit: int
) -> Sequence[ListedDevice]:
    """The devices of a bulk change in row order (those with that status), from the row after `after` on."""
    rows = connection.execute(
        text(
            f"""
            SELECT {_DEVICE_COLUMNS} FROM m2m.device_change c
            WHERE c.bulk_change_id = :id AND c.row_number > :after
                AND (CAST(:status AS text) IS NULL OR c.status = :status)
            ORDER BY c.row_number LIMIT :limit
            """
        ),
        {"id": bulk_change_id, "after": after, "status": status, "limit": limit},
    )
    return [_device(row) for row in rows]


def list_history(
    connection: Connection, tenant_id: int, iccid: str, before: int | None, limit: int
) -> Sequence[PastChange]:
    """What a tenant's bulk changes meant for a device, the latest first; those with an id below `before`."""
    rows = connection.execute(
        text(
            f"""
            SELECT c.id, c.bulk_change_id, b.status AS bulk_change_status, p.name AS provider, {_DEVICE_COLUMNS}
            FROM m2m.device_change c JOIN m2m.bulk_change b ON b.id = c.bulk_change_id
            JOIN m2m.service_provider p ON p.id = c.service_provider_id
            WHERE c.service_provider_id IN (SELECT id FROM m2m.service_provider WHERE tenant_id = :tenant)
                AND c.iccid = :iccid AND (CAST(:before AS bigint) IS NULL OR c.id < :before)
            ORDER BY c.id DESC LIMIT :limit
            """
        ),
        {"tenant": tenant_id, "iccid": iccid, "before": before, "limit": limit},
    )
    return [
        PastChange(row.id, row.bulk_change_id, row.provider, BulkChangeStatus(row.bulk_change_status), _device(row))
        for row in rows
    ]


def knows_device(connection: Connection, tenant_id: int, iccid: str) -> bool:
    """Whether one of the tenant's providers has the device in its inventory."""
    return connection.execute(
        text(
            """
            SELECT EXISTS (SELECT 1 FROM m2m.device d JOIN m2m.service_provider p ON p.id = d.service_provider_id
                WHERE p.tenant_id = :tenant AND d.iccid = :iccid)
            """
        ),
        {"tenant": tenant_id, "iccid": iccid},
    ).scalar_one()


def count_by_status(connection: Connection, bulk_change_id: int) -> dict[DeviceStatus, int]:
    """The devices of a bulk change by status."""
    rows = connection.execute(
        text("SELECT status, count(*) AS devices FROM m2m.device_change WHERE bulk_change_id = :id GROUP BY status"),
        {"id": bulk_change_id},
    )
    return {DeviceStatus(row.status): row.devices for row in rows}


def _device(row: Row[tuple[object, ...]]) -> ListedDevice:
    return ListedDevice(
        row=row.row_number,
        iccid=row.iccid,
        status=DeviceStatus(row.status),
        old_rate_plan=row.old_rate_plan,
        new_rate_plan=row.rate_plan,
        attempts=row.attempts,
        reason=ReasonCode(row.reason) if row.reason else None,
        message=row.message,
        carrier_code=row.carrier_code,
        sent_at=row.sent_at,
        ended_at=row.ended_at,
    )


def _counts(stored: object) -> dict[DeviceStatus, int] | None:
    if not isinstance(stored, dict):
        return None
    return {DeviceStatus(status): count for status, count in cast("dict[str, int]", stored).items()}
