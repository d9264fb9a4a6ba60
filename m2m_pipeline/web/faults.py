"""Which error of the services becomes which problem of the API."""

import logging
from collections.abc import Callable, Sequence
from typing import cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from m2m_pipeline.domain.problems import Problem, RequestRejectedError, shown
from m2m_pipeline.domain.reasons import REASONS, ReasonCode
from m2m_pipeline.services.browsing import DeviceUnknownError
from m2m_pipeline.services.identity import KeyUnknownError, SignInFailedError
from m2m_pipeline.services.reporting import BulkChangeUnknownError
from m2m_pipeline.services.retrying import NotRetryableError
from m2m_pipeline.services.submission import KeyInProgressError, NotProcessableError
from m2m_pipeline.services.withdrawing import NotWithdrawableError
from m2m_pipeline.storage.database import CommitUnknownError, DatabaseRefusedError, DatabaseUnavailableError
from m2m_pipeline.web.bodies import pointer
from m2m_pipeline.web.issuer_keys import IssuerAwayError
from m2m_pipeline.web.problems import ErrorItem, ProblemError, problem_response

NAMED: dict[type[Exception], str] = {
    BulkChangeUnknownError: "not-found",
    DeviceUnknownError: "not-found",
    KeyUnknownError: "not-found",
    KeyInProgressError: "key-in-progress",
    NotProcessableError: "not-processable",
    NotWithdrawableError: "not-withdrawable",
    NotRetryableError: "not-retryable",
    DatabaseRefusedError: "database-refused",
    CommitUnknownError: "commit-unknown",
    DatabaseUnavailableError: "database-unavailable",
    IssuerAwayError: "issuer-unavailable",
}
"""Errors whose own words are the detail."""

_ALONE: dict[ReasonCode, str] = {
    ReasonCode.FIELD_INVALID: "invalid-request",
    ReasonCode.IDEMPOTENCY_CONFLICT: "key-of-another-request",
    ReasonCode.TOO_MANY_OPEN_CHANGES: "too-many-open-changes",
}
"""Reasons that make a kind of their own where there is no other: what helps against one would not help."""

_HTTP = {404: "not-found", 405: "method-not-allowed"}


def register(app: FastAPI) -> None:
    """Have every error answered by a problem document."""
    for kind in NAMED:
        app.add_exception_handler(kind, _named)
    app.add_exception_handler(RequestRejectedError, _rejected)
    app.add_exception_handler(SignInFailedError, _not_signed_in)
    app.add_exception_handler(ProblemError, _own)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def kind_of(problems: Sequence[Problem]) -> str:
    """Which kind of problem a rejection is."""
    codes = {problem.code for problem in problems}
    if ReasonCode.PROVIDER_UNSUPPORTED in codes:  # whatever else is corrected
        return "unsupported-provider"
    return next((slug for code, slug in _ALONE.items() if codes == {code}), "request-rejected")


def error_items(problems: Sequence[Problem], locate: Callable[[Problem], str | None]) -> tuple[ErrorItem, ...]:
    """The faults as the API tells them."""
    return tuple(
        ErrorItem(
            pointer=locate(problem),
            row=problem.row,
            field=problem.field,
            value=problem.value,
            code=problem.code,
            reason=REASONS[problem.code].title,
            message=problem.message,
            next_step=problem.next_step,
        )
        for problem in problems
    )


def _named(_request: Request, error: Exception) -> Response:
    slug = next(NAMED[kind] for kind in type(error).__mro__ if kind in NAMED)
    if slug == "database-refused":
        logging.getLogger(__name__).error("The database refused: %s", error.__cause__)
    return problem_response(slug, str(error))


def _rejected(request: Request, error: Exception) -> Response:
    problems = cast("RequestRejectedError", error).problems
    more = f" There are {len(problems) - 1} more reasons." if len(problems) > 1 else ""
    detail = "".join(problem.message for problem in problems[:1]) + more
    return problem_response(kind_of(problems), detail, error_items(problems, lambda one: pointer(request, one)))


def _not_signed_in(_request: Request, _error: Exception) -> Response:
    detail = "The key or token is not known, was revoked, has run out, or is not for us."
    return problem_response("not-signed-in", detail, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


def _own(_request: Request, error: Exception) -> Response:
    own = cast("ProblemError", error)
    return problem_response(own.slug, own.detail, headers=own.headers)


def _invalid(_request: Request, error: Exception) -> Response:
    faults = cast("Sequence[dict[str, object]]", cast("RequestValidationError", error).errors())
    items = tuple(_parameter_item(fault) for fault in faults)
    return problem_response("invalid-request", "; ".join(item.message for item in items), items)


def _parameter_item(fault: dict[str, object]) -> ErrorItem:
    where, *path = [str(part) for part in cast("Sequence[object]", fault["loc"])]
    field, given = ".".join(path), fault.get("input")
    reason = REASONS[ReasonCode.FIELD_INVALID]
    return ErrorItem(
        pointer=None,
        row=None,
        field=field or None,
        value=shown(given) if isinstance(given, str | int | float) else None,
        code=ReasonCode.FIELD_INVALID,
        reason=reason.title,
        message=f"{where} {field}: {fault['msg']}.",
        next_step=reason.next_step,
    )


def _http(request: Request, error: Exception) -> Response:
    known = cast("HTTPException", error)
    slug = _HTTP.get(known.status_code, "invalid-request")
    detail = f"{request.method} {shown(request.url.path)}: {known.detail}"
    return problem_response(slug, detail, headers=known.headers)


def _unexpected(request: Request, error: Exception) -> Response:
    logging.getLogger(__name__).error("%s %s", request.method, request.url.path, exc_info=error)
    return problem_response("internal-error", "The request met a fault of ours. What was recorded of it is unknown.")
