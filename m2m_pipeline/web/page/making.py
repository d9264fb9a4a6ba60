"""A new bulk change, step by step: account, SIMs and plan, a look at what would happen, and the confirmation."""

import re
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from m2m_pipeline.domain.iccid import ICCID_PATTERN
from m2m_pipeline.domain.problems import Problem, RequestRejectedError, shown
from m2m_pipeline.domain.reasons import REASONS, ReasonCode
from m2m_pipeline.domain.request import BulkChangeRequest, InvalidRows, parse_request
from m2m_pipeline.services.forecast import seconds_for
from m2m_pipeline.services.tables import is_header, parse_devices
from m2m_pipeline.web.identity import front_door
from m2m_pipeline.web.page.accounts import notices
from m2m_pipeline.web.page.changes import Choice, csv_file
from m2m_pipeline.web.page.preview import preview
from m2m_pipeline.web.page.rendering import render
from m2m_pipeline.web.page.route import PageRoute, to
from m2m_pipeline.web.page.visiting import OwnForm, Preparer, Submitter, Visitor
from m2m_pipeline.web.results import csv_text

router = APIRouter(route_class=PageRoute, include_in_schema=False)

SHOWN_PROBLEMS = 100
"""Faulty rows a page; the file with all of them is a download."""
EDITABLE_ROWS = 5_000
"""So many ICCIDs are put back into the form; more come from a file, which is to be chosen again."""
REJECT_COLUMNS = ("row", "iccid", "reason", "message", "what_to_do")
_FIELDS = ("provider", "rate_plan", "communication_plan", "effective_date", "batch_size", "priority")

DraftId = Annotated[str, Path(max_length=40, pattern="^[A-Za-z0-9_-]+$")]


@router.get("/new")
def choose(
    request: Request,
    known: Preparer,
    provider: Choice = "",
    draft: Annotated[str, Query(max_length=40, pattern="^[A-Za-z0-9_-]*$")] = "",
) -> Response:
    """The account first; the SIMs and the plan when it is known, or the only one."""
    filled: dict[str, str] = {}
    if draft:
        asked, _ = front_door(request).application.drafts.find(known.session_id, draft)
        filled = {name: str(value) for name in _FIELDS if (value := getattr(asked, name)) is not None}
        filled["iccids"] = "\n".join(asked.devices) if len(asked.devices) <= EDITABLE_ROWS else ""
        provider = provider or asked.provider or ""
    if not provider and len(known.offers) == 1:
        provider = known.offers[0].provider.name
    return _form_page(request, known, {**filled, "provider": provider})


@router.post("/new")
async def prepare(request: Request, known: Preparer, form: OwnForm) -> Response:
    """Read what was sent, and keep it for a look; nothing is recorded."""
    texts = {name: value for name, value in form.items() if isinstance(value, str)}
    file = form.get("file")
    content = await file.read() if isinstance(file, UploadFile) and file.filename else b""
    name = printable(file.filename) if isinstance(file, UploadFile) and file.filename else ""

    def keep() -> Response:
        asked = _request(texts, name, content)
        if asked.is_cut:
            found = known.desk.examination.examine(known.tenant, asked).problems
            return _form_page(request, known, texts, found[:SHOWN_PROBLEMS])
        return to(f"/drafts/{front_door(request).application.drafts.keep(known.session_id, asked)}")

    return await run_in_threadpool(keep)


@router.get("/drafts/{draft}")
def look(
    request: Request, draft: DraftId, known: Preparer, first: Annotated[int, Query(ge=0, le=10**7)] = 0
) -> Response:
    """What would happen to every row, if it were confirmed now."""
    asked, done = front_door(request).application.drafts.find(known.session_id, draft)
    if done is not None:
        return to(f"/changes/{done}")
    return _preview_page(request, known, draft, asked, first)


@router.get("/drafts/{draft}/rejects.csv")
def send_rejects(request: Request, draft: DraftId, known: Preparer) -> Response:
    """Every faulty row, with its reason and what to do."""
    asked, _ = front_door(request).application.drafts.find(known.session_id, draft)
    faults = known.desk.examination.examine(known.tenant, asked).problems
    rows = [
        [str(one.row or ""), _value(asked, one), REASONS[one.code].title, one.message, one.next_step] for one in faults
    ]
    return csv_file("rejected-rows.csv", [csv_text([REJECT_COLUMNS, *rows])])


@router.post("/drafts/{draft}")
def confirm(request: Request, draft: DraftId, known: Submitter, form: OwnForm) -> Response:
    """Record it: once, however often the form is sent."""
    drafts = front_door(request).application.drafts
    asked, done = drafts.find(known.session_id, draft)
    if done is not None:
        return to(f"/changes/{done}")
    asked = asked.model_copy(update=_decided(form))
    try:
        recorded = known.desk.submission.submit(known.tenant, asked, known.principal.actor)
    except RequestRejectedError:
        return _preview_page(request, known, draft, asked, 0, refused=True)
    drafts.confirmed(draft, recorded.bulk_change_id)
    return to(f"/changes/{recorded.bulk_change_id}")


def _decided(form: FormData) -> dict[str, object]:
    skip = form.get("invalid_rows") == InvalidRows.SKIP.value
    return {
        "invalid_rows": InvalidRows.SKIP if skip else InvalidRows.REJECT,
        "process_changes": form.get("start") != "later",
    }


def _request(texts: dict[str, str], name: str, content: bytes) -> BulkChangeRequest:
    """The request in the form's fields, as far as they and the file can be read."""
    devices, faults = pasted(texts.get("iccids", "")), list[Problem]()
    if name and devices:
        message = f"{name} and {len(devices)} pasted ICCIDs came together. Empty the field, or choose no file."
        devices, faults = [], [Problem(ReasonCode.FIELD_INVALID, message, "iccids", location=("devices",))]
    elif name:
        devices, faults = parse_devices(name, content)
    given = {field: texts[field].strip() for field in _FIELDS if texts.get(field, "").strip()}
    return parse_request({**given, "devices": devices}, faults)


def printable(name: str) -> str:
    """A file's name as messages call it: no database stores a NUL, and nobody reads 4,000 characters."""
    return shown("".join(char for char in name if char.isprintable())) or "the file"


def pasted(text: str) -> list[str]:
    """The rows of a text: at every line, comma, semicolon and tab, and between whole ICCIDs; without its header."""
    cells = [cell.strip() for cell in re.split(r"[\n\r,;\t]", text) if cell.strip()]
    if cells and is_header(cells[0], "iccid"):
        del cells[0]
    # One ICCID in groups of digits stays one row: it is told as it was written.
    split = [(cell, cell.split()) for cell in cells]
    return [
        part
        for cell, parts in split
        for part in (parts if any(ICCID_PATTERN.fullmatch(one) for one in parts) else [cell])
    ]


def _value(asked: BulkChangeRequest, problem: Problem) -> str:
    """What stood in the row, whole: the correction starts from it."""
    return asked.devices[problem.row - 1] if problem.row else ""


def _form_page(request: Request, known: Visitor, filled: dict[str, str], problems: Sequence[Problem] = ()) -> Response:
    offer = next((one for one in known.offers if one.provider.name == filled.get("provider")), None)
    return render(
        request,
        "prepare.html" if offer else "choose.html",
        400 if problems else 200,
        offer=offer,
        offers=known.offers,
        filled=filled,
        problems=problems,
        notices=notices(known.offers),
    )


def _preview_page(
    request: Request, known: Visitor, draft: str, asked: BulkChangeRequest, first: int, *, refused: bool = False
) -> Response:
    seen = preview(len(asked.devices), known.desk.examination.examine(known.tenant, asked))
    offer = next((one for one in known.offers if one.provider.name == asked.provider), None)
    page = list(seen.row_problems[first : first + SHOWN_PROBLEMS])
    return render(
        request,
        "preview.html",
        400 if refused else 200,
        draft=draft,
        asked=asked,
        seen=seen,
        shown=[(one, _value(asked, one)) for one in page],
        first=first,
        a_page=SHOWN_PROBLEMS,
        refused=refused,
        seconds=seconds_for(seen.to_change, offer.provider.verify, offer.standing.pace) if offer else None,
        writes=offer is None or offer.provider.writes_enabled,
        notices=notices(known.offers),
    )
