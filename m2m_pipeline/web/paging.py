"""Pages of lists: an opaque cursor that says after which row the next one begins."""

import base64
from collections.abc import Sequence
from typing import Annotated, TypeVar

from fastapi import Query, Request

from m2m_pipeline.domain.request import MAX_ID
from m2m_pipeline.web.problems import ProblemError

MAX_PAGE_SIZE = 500

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE, description="How many a page")]
Cursor = Annotated[
    str | None, Query(max_length=40, pattern=r"^[A-Za-z0-9_-]*$", description="From the `next` of the page before")
]
_Row = TypeVar("_Row")


def read_cursor(cursor: str | None) -> int | None:
    """The place that a cursor names; None for the first page.

    Raises:
        ProblemError: it is none of ours.

    """
    if not cursor:
        return None
    try:
        kind, _, place = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").partition(":")
    except ValueError:
        kind, place = "", ""
    if kind != "after" or not place.isdecimal() or int(place) > MAX_ID:
        raise ProblemError("invalid-request", "`cursor` is none that we gave: take it from the page before.")
    return int(place)


def page_of(request: Request, rows: Sequence[_Row], limit: int, places: Sequence[int]) -> tuple[list[_Row], str | None]:
    """At most `limit` of the rows, and the address of the next page where there are more.

    `rows` is one more than a page, where there is one more; `places` are theirs.
    """
    if len(rows) <= limit:
        return list(rows), None
    cursor = base64.urlsafe_b64encode(f"after:{places[limit - 1]}".encode()).decode().rstrip("=")
    address = request.url.include_query_params(cursor=cursor)
    return list(rows[:limit]), f"{address.path}?{address.query}"
