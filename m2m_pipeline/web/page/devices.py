"""One SIM: what became of it in every bulk change."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from m2m_pipeline.domain.iccid import ICCID_PATTERN
from m2m_pipeline.domain.request import NO_CONTROL_CHARACTERS
from m2m_pipeline.services.browsing import DeviceUnknownError
from m2m_pipeline.web.page.rendering import render
from m2m_pipeline.web.page.route import PageRoute
from m2m_pipeline.web.page.visiting import Looker
from m2m_pipeline.web.paging import Cursor, page_of, read_cursor

router = APIRouter(route_class=PageRoute, include_in_schema=False)

PAST_CHANGES_A_PAGE = 50


@router.get("/sims")
def show_history(
    request: Request,
    known: Looker,
    iccid: Annotated[str, Query(max_length=100, pattern=NO_CONTROL_CHARACTERS)] = "",
    cursor: Cursor = None,
) -> Response:
    """The search, and what it finds."""
    wanted = iccid.strip()
    if not wanted:
        return render(request, "sims.html", iccid="", complaint="", past=None, following=None)
    if not ICCID_PATTERN.fullmatch(wanted):
        complaint = "An ICCID has 18 to 22 digits, and nothing else."
        return render(request, "sims.html", 400, iccid=wanted, complaint=complaint, past=None, following=None)
    try:
        rows = known.desk.browsing.history(known.tenant, wanted, read_cursor(cursor), PAST_CHANGES_A_PAGE + 1)
    except DeviceUnknownError:
        complaint = "No SIM of this number is in your inventory, or in any of your bulk changes. Check the number."
        return render(request, "sims.html", 404, iccid=wanted, complaint=complaint, past=None, following=None)
    shown, following = page_of(request, rows, PAST_CHANGES_A_PAGE, [row.id for row in rows])
    return render(request, "sims.html", iccid=wanted, complaint="", past=shown, following=following)
