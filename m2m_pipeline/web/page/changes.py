"""Bulk changes: the list, one of them, its SIMs, its result; starting it, declining it, and trying it again."""

from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from m2m_pipeline.domain.permissions import Permission
from m2m_pipeline.domain.reasons import ROW_FAULTS
from m2m_pipeline.domain.request import NO_CONTROL_CHARACTERS
from m2m_pipeline.domain.status import UNDER_WAY, BulkChangeStatus, DeviceStatus
from m2m_pipeline.services.links import Links
from m2m_pipeline.storage.listings import ChangeFilter
from m2m_pipeline.web.identity import front_door
from m2m_pipeline.web.page.accounts import notices
from m2m_pipeline.web.page.progress import observed_since, view
from m2m_pipeline.web.page.rendering import render
from m2m_pipeline.web.page.route import PageRoute, to
from m2m_pipeline.web.page.streaming import stream
from m2m_pipeline.web.page.visiting import Looker, OwnForm, Processor, Retrier, Withdrawer
from m2m_pipeline.web.paging import Cursor, page_of, read_cursor
from m2m_pipeline.web.results import result_lines
from m2m_pipeline.web.submitting import ChangeId

router = APIRouter(route_class=PageRoute, include_in_schema=False)

CHANGES_A_PAGE, DEVICES_A_PAGE = 25, 100
Choice = Annotated[str, Query(max_length=200, pattern=NO_CONTROL_CHARACTERS)]


@router.get("/")
def list_changes(
    request: Request, known: Looker, status: Choice = "", provider: Choice = "", cursor: Cursor = None
) -> Response:
    """The tenant's bulk changes, the latest first."""
    chosen = ChangeFilter(BulkChangeStatus(status) if status in set(BulkChangeStatus) else None, provider or None)
    rows = known.desk.browsing.changes(known.tenant, chosen, read_cursor(cursor), CHANGES_A_PAGE + 1)
    shown, following = page_of(request, rows, CHANGES_A_PAGE, [row.id for row in rows])
    return render(
        request,
        "changes.html",
        changes=shown,
        following=following,
        chosen=chosen,
        first_page=cursor is None,
        offers=known.offers,
        notices=notices(known.offers),
    )


@router.get("/changes/{bulk_change_id}")
def show_change(request: Request, bulk_change_id: ChangeId, known: Looker) -> Response:
    """How it stands, and once it has ended: how, by reason."""
    document = known.desk.reporting.document(known.tenant, bulk_change_id)
    offer = next((one for one in known.offers if one.provider.name == document.provider), None)
    observed = observed_since(document.timings.started_at, document.counts)
    settings = front_door(request).settings
    links = Links(settings.public_url, settings.dagster_url)
    return render(
        request,
        "change.html",
        change=document,
        now=view(document.status, document.counts, offer, observed),
        under_way=document.status in UNDER_WAY,
        can_start=document.status is BulkChangeStatus.NEW and known.principal.may(Permission.PROCESS_CHANGES),
        can_withdraw=document.status is BulkChangeStatus.NEW and known.principal.may(Permission.WITHDRAW_CHANGES),
        can_retry=known.principal.may(Permission.RETRY_CHANGES)
        and document.status in {BulkChangeStatus.PARTIAL, BulkChangeStatus.FAILED}
        and any(one.status is DeviceStatus.REFUSED and one.reason not in ROW_FAULTS for one in document.failures),
        runs=links.runs(bulk_change_id) if document.attempt else "",
        notices=notices(known.offers),
    )


@router.get("/changes/{bulk_change_id}/events")
async def follow_change(request: Request, bulk_change_id: ChangeId, known: Looker) -> Response:
    """Its progress, as it happens."""
    recorded = await run_in_threadpool(known.desk.browsing.recorded, known.tenant, bulk_change_id)
    return stream(request, known, bulk_change_id, recorded.provider)


@router.get("/changes/{bulk_change_id}/devices")
def list_devices(
    request: Request, bulk_change_id: ChangeId, known: Looker, status: Choice = "", cursor: Cursor = None
) -> Response:
    """Its SIMs in the order of the file, those in one state or all."""
    wanted = DeviceStatus(status) if status in set(DeviceStatus) else None
    after = read_cursor(cursor) or 0
    rows = known.desk.browsing.devices(known.tenant, bulk_change_id, wanted, after, DEVICES_A_PAGE + 1)
    shown, following = page_of(request, rows, DEVICES_A_PAGE, [row.row for row in rows])
    counts = known.desk.browsing.progress(known.tenant, bulk_change_id).counts
    return render(
        request,
        "devices.html",
        id=bulk_change_id,
        devices=shown,
        following=following,
        wanted=wanted,
        first_page=cursor is None,
        counts=counts,
    )


@router.get("/changes/{bulk_change_id}/result.csv")
def send_result(bulk_change_id: ChangeId, known: Looker) -> Response:
    """One row a SIM."""
    known.desk.browsing.recorded(known.tenant, bulk_change_id)  # an unknown one is told before the answer begins
    return csv_file(f"change-{bulk_change_id}-result.csv", result_lines(known.desk, known.tenant, bulk_change_id))


@router.post("/changes/{bulk_change_id}/start")
def start_change(bulk_change_id: ChangeId, known: Processor, _form: OwnForm) -> Response:
    """What was only recorded is queued."""
    known.desk.submission.process(known.tenant, bulk_change_id, known.principal.actor)
    return to(f"/changes/{bulk_change_id}")


@router.post("/changes/{bulk_change_id}/withdraw")
def withdraw_change(bulk_change_id: ChangeId, known: Withdrawer, _form: OwnForm) -> Response:
    """What was only recorded ends, and nothing is sent."""
    known.desk.withdrawing.withdraw(known.tenant, bulk_change_id, known.principal.actor)
    return to(f"/changes/{bulk_change_id}")


@router.post("/changes/{bulk_change_id}/retry")
def retry_change(bulk_change_id: ChangeId, known: Retrier, _form: OwnForm) -> Response:
    """The refused SIMs get another try."""
    known.desk.retrying.retry(known.tenant, bulk_change_id, known.principal.actor)
    return to(f"/changes/{bulk_change_id}")


def csv_file(name: str, pieces: Iterable[str]) -> Response:
    """A download, made piece by piece."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(pieces, media_type="text/csv; charset=utf-8", headers=headers)
