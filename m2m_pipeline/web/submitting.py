"""Endpoints that make a bulk change, or decide about one."""

from typing import Annotated

from fastapi import APIRouter, Header, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from m2m_pipeline.domain.problems import RequestRejectedError
from m2m_pipeline.domain.request import MAX_ID, MAX_NAME_LENGTH, NO_CONTROL_CHARACTERS
from m2m_pipeline.services.browsing import RecordedRequest
from m2m_pipeline.web.bodies import read_request
from m2m_pipeline.web.documentation import problems, request_body
from m2m_pipeline.web.identity import Processor, Retrier, Submitter, Withdrawer
from m2m_pipeline.web.models import BASE, ChangeDetail, LegacyAnswer, Queued, RecordedChange, RetriedChange, links

router = APIRouter(prefix=BASE, tags=["bulk changes"])
legacy_router = APIRouter(tags=["existing system"])

ChangeId = Annotated[int, Path(ge=1, le=MAX_ID)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=MAX_NAME_LENGTH,
        pattern=NO_CONTROL_CHARACTERS,
        description="The same key never makes a second bulk change; it is kept for 7 days",
    ),
]

_REPLAYED = {
    "Idempotency-Replayed": {
        "schema": {"type": "string", "enum": ["true"]},
        "description": "The key was known: this is the answer of the first time",
    }
}


@router.post(
    "/bulk-changes",
    status_code=202,
    operation_id="createBulkChange",
    summary="Record a bulk change, and queue it",
    openapi_extra=request_body(),
    responses={
        202: {
            "headers": {
                "Location": {"schema": {"type": "string"}, "description": "Where the bulk change is"},
                **_REPLAYED,
            }
        },
        **problems("key-in-progress", "unsupported-media-type", "key-of-another-request"),
    },
)
async def create(
    request: Request, response: Response, caller: Submitter, idempotency_key: IdempotencyKey = None
) -> RecordedChange:
    """Every reason against the request is said at once; with one, nothing is recorded."""
    recorded = await _submit(request, response, caller, idempotency_key)
    response.headers["Location"] = links(recorded.id)["self"]
    return RecordedChange.model_validate({**_fields(recorded), "links": links(recorded.id)})


@router.post(
    "/bulk-changes/{bulk_change_id}/process",
    status_code=202,
    operation_id="processBulkChange",
    summary="Queue a bulk change that was only recorded",
    responses=problems("not-found", "not-processable"),
)
def process(bulk_change_id: ChangeId, caller: Processor) -> Queued:
    """It must be NEW."""
    done = caller.desk.submission.process(caller.tenant, bulk_change_id, caller.principal.actor)
    return Queued(id=done.bulk_change_id, status=done.status, links=links(bulk_change_id))


@router.post(
    "/bulk-changes/{bulk_change_id}/withdraw",
    operation_id="withdrawBulkChange",
    summary="End a bulk change that was only recorded; nothing is sent",
    responses=problems("not-found", "not-withdrawable"),
)
def withdraw(bulk_change_id: ChangeId, caller: Withdrawer) -> ChangeDetail:
    """It must be NEW. It is REJECTED then, and its devices are free for other bulk changes."""
    document = caller.desk.withdrawing.withdraw(caller.tenant, bulk_change_id, caller.principal.actor)
    return ChangeDetail.model_validate({**document.model_dump(), "links": links(bulk_change_id)})


@router.post(
    "/bulk-changes/{bulk_change_id}/retry",
    status_code=202,
    operation_id="retryBulkChange",
    summary="Try the refused devices of an ended bulk change again",
    responses=problems("not-found", "not-retryable"),
)
def retry(bulk_change_id: ChangeId, caller: Retrier) -> RetriedChange:
    """It must be PARTIAL or FAILED. How the devices ended stays in the audit log."""
    done = caller.desk.retrying.retry(caller.tenant, bulk_change_id, caller.principal.actor)
    return RetriedChange(
        id=done.bulk_change_id, status=done.status, pending=done.pending, held=done.held, links=links(bulk_change_id)
    )


@legacy_router.post(
    "/M2M/BulkChange",
    operation_id="createBulkChangeAsBefore",
    summary="Record a bulk change as the existing system does",
    openapi_extra=request_body(file=False),
    responses={200: {"headers": _REPLAYED}, **problems("key-in-progress", "unsupported-media-type")},
)
async def create_as_before(
    request: Request, response: Response, caller: Submitter, idempotency_key: IdempotencyKey = None
) -> LegacyAnswer:
    """What is wrong with the request is answered with status 200 and `errors`, as the existing system does."""
    try:
        recorded = await _submit(request, response, caller, idempotency_key)
    except RequestRejectedError as rejected:
        return LegacyAnswer(errors=[str(problem) for problem in rejected.problems])
    return LegacyAnswer(redirectUrl=links(recorded.id)["self"])


async def _submit(request: Request, response: Response, caller: Submitter, key: str | None) -> RecordedRequest:
    asked = await read_request(request, key)
    accept = caller.desk.submission.accept
    accepted = await run_in_threadpool(accept, caller.tenant, asked, caller.principal.actor)
    if accepted.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return accepted.request


def _fields(recorded: RecordedRequest) -> dict[str, object]:
    return {name: getattr(recorded, name) for name in RecordedRequest.__dataclass_fields__}
