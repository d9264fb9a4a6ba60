"""What the API says when it does not do it (RFC 9457): one table, which code, docs and tests read."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from m2m_pipeline.domain.iccid import without_iccids
from m2m_pipeline.domain.reasons import ReasonCode

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:m2m:problem:"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem. `retry_helps`: whether the same request, sent again later, may do."""

    status: int
    title: str
    retry_helps: bool
    next_step: str
    retry_after: int | None = None  # seconds


KINDS: Mapping[str, Kind] = {
    "invalid-request": Kind(400, "The request cannot be read", False, "Correct what `errors` names."),
    "malformed-http": Kind(400, "That is no HTTP request", False, "Correct its first line and its headers (RFC 9112)."),
    "request-rejected": Kind(
        400, "The request does not hold; nothing was recorded", False, "Correct every one of `errors`, or leave it out."
    ),
    "unsupported-provider": Kind(
        400,
        "No adapter serves the service provider; nothing was recorded",
        False,
        "Choose a provider whose integration type has a carrier adapter.",
    ),
    "not-signed-in": Kind(
        401,
        "The request brings no key or token that holds",
        False,
        "Send `Authorization: Bearer KEY`, or sign in anew.",
    ),
    "permission-denied": Kind(
        403, "Your role does not allow it", False, "Ask an administrator for a key or a role that does."
    ),
    "not-found": Kind(404, "There is no such thing", False, "Check the address and the id."),
    "method-not-allowed": Kind(405, "This address knows no such method", False, "See the `Allow` header."),
    "not-acceptable": Kind(406, "There is no such form of the answer", False, "Ask for JSON or CSV."),
    "key-in-progress": Kind(
        409, "A request with this idempotency key is under way", True, "Send the same again to hear its outcome.", 1
    ),
    "not-processable": Kind(409, "The bulk change does not wait to be processed", False, "Read its status."),
    "not-withdrawable": Kind(409, "The bulk change does not wait to be started", False, "Read its status."),
    "not-retryable": Kind(409, "There is nothing to retry, or not now", True, "Read its status."),
    "request-too-large": Kind(413, "The body is too long", False, "Split the request."),
    "unsupported-media-type": Kind(
        415, "The body is of no known type", False, "Send application/json, or multipart/form-data with a CSV file."
    ),
    "key-of-another-request": Kind(
        422, "The idempotency key was used for another request", False, "Use a new key for a new request."
    ),
    "too-many-requests": Kind(429, "Too many requests", True, "Wait as long as `Retry-After` says.", 1),
    "too-many-streams": Kind(429, "Too many event streams are open", True, "Close one, or ask for the record.", 10),
    "too-many-open-changes": Kind(
        429, "Too many bulk changes are open; nothing was recorded", True, "Wait until some have ended.", 60
    ),
    "internal-error": Kind(500, "A fault of ours", False, "Report it with the time at which it happened."),
    "database-refused": Kind(
        503, "The database does not do the work; nothing was recorded", False, "An operator has to look at it."
    ),
    "commit-unknown": Kind(
        503,
        "The database broke off; whether the request took effect is not known",
        True,
        "Look whether it did, and send it again where it did not; with an Idempotency-Key, send it again at once.",
        5,
    ),
    "issuer-unavailable": Kind(
        503, "The issuer of tokens does not answer", True, "Wait as long as `Retry-After` says, or use a key.", 60
    ),
    "database-unavailable": Kind(
        503, "The database does not answer; nothing was recorded", True, "Wait as long as `Retry-After` says.", 5
    ),
}


class ErrorItem(BaseModel):
    """One thing that is wrong."""

    model_config = ConfigDict(frozen=True)

    pointer: str | None = Field(description="Where in the JSON body (RFC 6901); null for a file or a parameter")
    row: int | None = Field(description="Which row, counted from 1, a file's header not counted")
    field: str | None
    value: str | None = Field(description="What was sent there, cut after 60 characters; an ICCID is shortened")
    code: ReasonCode
    reason: str = Field(description="What the code means")
    message: str
    next_step: str


class ProblemDocument(BaseModel):
    """Why the API does not do it, whether trying again helps, and what to do (RFC 9457)."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "example": {
                "type": f"{TYPE_PREFIX}not-found",
                "title": KINDS["not-found"].title,
                "status": 404,
                "detail": "There is no bulk change 7 for this tenant.",
                "retry_helps": False,
                "next_step": KINDS["not-found"].next_step,
                "errors": [],
            }
        },
    )

    type: str = Field(json_schema_extra={"enum": [TYPE_PREFIX + slug for slug in KINDS]})
    title: str
    status: int
    detail: str
    retry_helps: bool
    next_step: str
    errors: tuple[ErrorItem, ...] = ()


class ProblemError(Exception):
    """Raised where the web itself says no: the kind's slug, and what is to be said of this case."""

    def __init__(self, slug: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.slug = slug
        self.detail = detail
        self.headers = headers or {}


def problem_response(
    slug: str, detail: str, errors: tuple[ErrorItem, ...] = (), headers: Mapping[str, str] | None = None
) -> Response:
    """The answer for a kind of problem; ICCIDs are shortened, whoever worded it."""
    kind = KINDS[slug]
    document = ProblemDocument(
        type=TYPE_PREFIX + slug,
        title=kind.title,
        status=kind.status,
        detail=without_iccids(detail),
        retry_helps=kind.retry_helps,
        next_step=kind.next_step,
        errors=tuple(_shortened(one) for one in errors),
    )
    told = dict(headers or {})
    if kind.retry_after is not None:
        told.setdefault("Retry-After", str(kind.retry_after))
    if kind.status == KINDS["not-signed-in"].status:
        told.setdefault("WWW-Authenticate", "Bearer")
    return Response(document.model_dump_json(), kind.status, told, MEDIA_TYPE)


def _shortened(item: ErrorItem) -> ErrorItem:
    value = None if item.value is None else without_iccids(item.value)
    return item.model_copy(update={"message": without_iccids(item.message), "value": value})
