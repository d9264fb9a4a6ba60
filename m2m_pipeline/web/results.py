"""The result of a bulk change: as a document, or as a CSV with one row a device."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from m2m_pipeline.bootstrap import Desk
from m2m_pipeline.services.reporting import RESULT_COLUMNS, ResultDocument
from m2m_pipeline.services.tables import unarmed
from m2m_pipeline.web.documentation import problems
from m2m_pipeline.web.identity import Viewer
from m2m_pipeline.web.models import BASE
from m2m_pipeline.web.problems import ProblemError
from m2m_pipeline.web.submitting import ChangeId

router = APIRouter(prefix=BASE, tags=["bulk changes"])

ROWS_AT_ONCE = 5_000
_JSON, _CSV = "application/json", "text/csv"
_QUALITY = re.compile(r";\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*(?:;|$)", re.IGNORECASE)


@router.get(
    "/bulk-changes/{bulk_change_id}/result",
    operation_id="getResultOfBulkChange",
    summary="The result document, or one row a device as CSV",
    response_model=ResultDocument,
    responses={
        200: {"content": {_CSV: {"schema": {"type": "string"}, "example": ",".join(RESULT_COLUMNS)}}},
        **problems("not-found", "not-acceptable"),
    },
)
def get_result(
    request: Request,
    bulk_change_id: ChangeId,
    caller: Viewer,
    form: Annotated[
        Literal["json", "csv"] | None, Query(alias="format", description="In place of the header `Accept`")
    ] = None,
) -> Response:
    """In the CSV, a cell that a spreadsheet would take for a formula begins with an apostrophe."""
    kind = {"json": _JSON, "csv": _CSV}[form] if form else _wanted(request.headers.get("accept", "*/*"))
    document = caller.desk.reporting.document(caller.tenant, bulk_change_id)
    if kind == _JSON:
        return Response(document.model_dump_json(), media_type=_JSON)
    headers = {"Content-Disposition": f'attachment; filename="bulk-change-{bulk_change_id}.csv"'}
    return StreamingResponse(result_lines(caller.desk, caller.tenant, bulk_change_id), media_type=_CSV, headers=headers)


def _wanted(accept: str) -> str:
    """What the client would rather have (RFC 9110, 12.5.1); JSON where it does not mind."""
    ranges = [(one.partition(";")[0].strip().lower(), _quality(one)) for one in accept.split(",")]

    def rank(kind: str) -> tuple[float, int, int]:
        """How much it is wanted, then how expressly, then how early."""
        names = ("*/*", kind.partition("/")[0] + "/*", kind)
        found = [(names.index(name), -place, quality) for place, (name, quality) in enumerate(ranges) if name in names]
        express, early, quality = max(found, default=(0, 0, 0.0))
        return quality, express, early

    best = max((_JSON, _CSV), key=rank)
    if not rank(best)[0]:
        raise ProblemError("not-acceptable", "The result is there as application/json and as text/csv.")
    return best


def _quality(media_range: str) -> float:
    given = _QUALITY.search(media_range)
    return float(given[1]) if given else 1.0


def result_lines(desk: Desk, tenant: str, bulk_change_id: int) -> Iterator[str]:
    """The file in pieces, each read in a transaction of its own: a slow reader holds none open."""
    yield csv_text([RESULT_COLUMNS])
    after = 0
    while True:
        rows = desk.browsing.devices(tenant, bulk_change_id, None, after, ROWS_AT_ONCE)
        if not rows:
            return
        yield csv_text(
            [
                (
                    row.iccid,
                    row.status.value,
                    row.old_rate_plan or "",
                    row.new_rate_plan,
                    row.carrier_code or "",
                    row.message or "",
                )
                for row in rows
            ]
        )
        after = rows[-1].row


def csv_text(rows: Iterable[Sequence[str]]) -> str:
    """Rows as a spreadsheet reads them without taking anything for a formula."""
    piece = io.StringIO()
    csv.writer(piece, lineterminator="\r\n").writerows([unarmed(cell) for cell in row] for row in rows)
    return piece.getvalue()
