"""What a client sends, as a request: JSON in our names or the existing system's, or a CSV file with form fields."""

from collections.abc import Mapping
from typing import TypeVar, cast

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from m2m_pipeline.domain.problems import Problem, RequestRejectedError, shown
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.request import BulkChangeRequest, fault_of, parse_request, place_in
from m2m_pipeline.services.tables import parse_devices, parse_json
from m2m_pipeline.web.limits import CLOSE
from m2m_pipeline.web.problems import ProblemError

FILE_FIELD = "file"
MAX_FIELDS = 30
MAX_SMALL_BYTES = 16 * 1024
"""More than any document needs that lists no devices."""

_JSON, _FORM = "application/json", "multipart/form-data"
_Small = TypeVar("_Small", bound=BaseModel)


async def read_request(request: Request, idempotency_key: str | None = None) -> BulkChangeRequest:
    """The request in the body, as far as it can be read; the key of the header, where one is given, is its key.

    Raises:
        RequestRejectedError: nothing of it can be read.
        ProblemError: the body is of no known type, or too long.

    """
    content = await _read(request)
    request.state.json = None if FILE_FIELD in content else content
    return await run_in_threadpool(_parse, content, idempotency_key)


async def read_small(request: Request, model: type[_Small]) -> _Small:
    """The document in the body, as `model` describes it.

    Raises:
        RequestRejectedError: with everything of it that cannot be read.
        ProblemError: the body is of another type, or too long.

    """
    kind = _kind(request)
    if kind != _JSON:
        raise _unknown(kind)
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_SMALL_BYTES:
            raise ProblemError("request-too-large", f"At most {MAX_SMALL_BYTES} bytes are read here.", CLOSE)
    request.state.json = parse_json("body", body)
    try:
        return model.model_validate(request.state.json)
    except ValidationError as error:
        raise RequestRejectedError([fault_of(one) for one in error.errors(include_url=False)]) from None


def pointer(request: Request, problem: Problem) -> str | None:
    """Where in the client's own body the fault is, as a JSON pointer (RFC 6901); None where the body is no JSON."""
    body: Mapping[str, object] | None = getattr(request.state, "json", None)
    if problem.row is not None:
        location: tuple[str | int, ...] = ("devices", problem.row - 1)
    else:
        location = problem.location or ((problem.field,) if problem.field is not None else ())
    if body is None or not location:
        return None
    return "".join(f"/{_escaped(part)}" for part in place_in(body, location))


def _escaped(part: str | int) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


async def _read(request: Request) -> dict[str, object]:
    kind = _kind(request)
    if kind == _JSON:
        body = await request.body()
        return await run_in_threadpool(parse_json, "body", body)
    if kind == _FORM:
        return await _read_form(request)
    raise _unknown(kind)


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _unknown(kind: str) -> ProblemError:
    return ProblemError("unsupported-media-type", f'The body is "{shown(kind)}".' if kind else "The body has no type.")


async def _read_form(request: Request) -> dict[str, object]:
    content: dict[str, object] = {}
    try:
        async with request.form(max_files=1, max_fields=MAX_FIELDS) as form:
            for name, value in form.multi_items():
                if name in content:
                    raise _rejected(f'The form has the field "{shown(name)}" twice.')
                content[name] = await value.read() if isinstance(value, UploadFile) else value
    except (MultiPartException, HTTPException, UnicodeDecodeError) as error:
        raise _rejected(f"The form cannot be read: {shown(error)}.") from None
    strays = [name for name, value in content.items() if isinstance(value, bytes) != (name == FILE_FIELD)]
    if strays or FILE_FIELD not in content:
        raise _rejected(f'The form needs one file, as its field "{FILE_FIELD}", and no other file.')
    return content


def _parse(content: dict[str, object], idempotency_key: str | None) -> BulkChangeRequest:
    faults: list[Problem] = []
    if FILE_FIELD in content:
        devices, faults = parse_devices("file", cast("bytes", content[FILE_FIELD]))
        fields = {name: value for name, value in content.items() if name != FILE_FIELD}
        content = {**fields, "devices": devices}
    if idempotency_key is not None:
        if content.get("idempotency_key", idempotency_key) != idempotency_key:
            message = "The header Idempotency-Key and the field idempotency_key differ."
            faults = [*faults, Problem(ReasonCode.FIELD_INVALID, message, "idempotency_key")]
        content = {**content, "idempotency_key": idempotency_key}
    return parse_request(content, faults)


def _rejected(message: str) -> RequestRejectedError:
    return RequestRejectedError([Problem(ReasonCode.FILE_MALFORMED, message, FILE_FIELD)])
