"""Endpoints that look at bulk changes, devices and providers."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import AwareDatetime

from m2m_pipeline.domain.iccid import ICCID_PATTERN
from m2m_pipeline.domain.request import MAX_NAME_LENGTH, NO_CONTROL_CHARACTERS
from m2m_pipeline.domain.status import BulkChangeStatus, DeviceStatus
from m2m_pipeline.storage.listings import ChangeFilter
from m2m_pipeline.web.documentation import problems
from m2m_pipeline.web.identity import ProviderViewer, Viewer
from m2m_pipeline.web.models import (
    BASE,
    ChangeDetail,
    ChangeInList,
    ChangePage,
    DeviceInChange,
    DevicePage,
    HistoryPage,
    PastChangeOfDevice,
    Provider,
    ProviderList,
    links,
)
from m2m_pipeline.web.paging import Cursor, Limit, page_of, read_cursor
from m2m_pipeline.web.submitting import ChangeId

router = APIRouter(prefix=BASE)

ProviderFilter = Annotated[
    str | None, Query(max_length=MAX_NAME_LENGTH, pattern=NO_CONTROL_CHARACTERS, description="A provider's name")
]
Iccid = Annotated[str, Path(pattern=f"^{ICCID_PATTERN.pattern.replace(chr(92) + 'd', '[0-9]')}$")]


@router.get(
    "/bulk-changes",
    operation_id="listBulkChanges",
    summary="List bulk changes, the latest first",
    tags=["bulk changes"],
)
def list_changes(
    request: Request,
    caller: Viewer,
    status: BulkChangeStatus | None = None,
    provider: ProviderFilter = None,
    created_from: AwareDatetime | None = None,
    created_before: AwareDatetime | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ChangePage:
    """Follow `next` until it is null: what is recorded meanwhile moves nothing."""
    chosen = ChangeFilter(status, provider, created_from, created_before)
    rows = caller.desk.browsing.changes(caller.tenant, chosen, read_cursor(cursor), limit + 1)
    shown, following = page_of(request, rows, limit, [row.id for row in rows])
    items = [
        ChangeInList.model_validate({**{name: getattr(row, name) for name in row.__slots__}, "links": links(row.id)})
        for row in shown
    ]
    return ChangePage(items=items, next=following)


@router.get(
    "/bulk-changes/{bulk_change_id}",
    operation_id="getBulkChange",
    summary="How a bulk change stands",
    tags=["bulk changes"],
    responses=problems("not-found"),
)
def get_change(bulk_change_id: ChangeId, caller: Viewer) -> ChangeDetail:
    """The result document, as far as it is known now."""
    document = caller.desk.reporting.document(caller.tenant, bulk_change_id)
    return ChangeDetail.model_validate({**document.model_dump(), "links": links(bulk_change_id)})


@router.get(
    "/bulk-changes/{bulk_change_id}/devices",
    operation_id="listDevicesOfBulkChange",
    summary="The devices of a bulk change, in row order",
    tags=["bulk changes"],
    responses=problems("not-found"),
)
def list_devices(
    request: Request,
    bulk_change_id: ChangeId,
    caller: Viewer,
    status: DeviceStatus | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> DevicePage:
    """Those with a status, or all."""
    after = read_cursor(cursor) or 0
    rows = caller.desk.browsing.devices(caller.tenant, bulk_change_id, status, after, limit + 1)
    shown, following = page_of(request, rows, limit, [row.row for row in rows])
    return DevicePage(items=[DeviceInChange.model_validate(row) for row in shown], next=following)


@router.get(
    "/devices/{iccid}/history",
    operation_id="getDeviceHistory",
    summary="What became of a device in all bulk changes, the latest first",
    tags=["devices"],
    responses=problems("not-found"),
)
def get_history(
    request: Request, iccid: Iccid, caller: Viewer, limit: Limit = 50, cursor: Cursor = None
) -> HistoryPage:
    """Empty for a device of the inventory that no bulk change was about."""
    rows = caller.desk.browsing.history(caller.tenant, iccid, read_cursor(cursor), limit + 1)
    shown, following = page_of(request, rows, limit, [row.id for row in rows])
    items = [
        PastChangeOfDevice.model_validate(
            {
                **DeviceInChange.model_validate(row.device).model_dump(),
                "bulk_change_id": row.bulk_change_id,
                "bulk_change_status": row.bulk_change_status,
                "provider": row.provider,
            }
        )
        for row in shown
    ]
    return HistoryPage(iccid=iccid, items=items, next=following)


@router.get("/providers", operation_id="listProviders", summary="Service providers and their plans", tags=["providers"])
def list_providers(caller: ProviderViewer) -> ProviderList:
    """With how each account stands: pace, calls in flight, breaker."""
    return ProviderList(
        items=[
            Provider(
                id=offer.provider.id,
                name=offer.provider.name,
                integration_type=offer.provider.integration_type,
                writes_enabled=offer.provider.writes_enabled,
                calls_per_second=offer.provider.calls_per_second,
                in_flight=offer.provider.in_flight,
                verify=offer.provider.verify.value,
                rate_plans=list(offer.rate_plans),
                communication_plans=list(offer.communication_plans),
                standing=offer.standing,
            )
            for offer in caller.desk.catalogue.offers(caller.tenant)
        ]
    )
