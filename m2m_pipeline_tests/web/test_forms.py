"""A file that was sent is closed with its request, however that ends."""

import asyncio
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest
from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.types import Message

from m2m_pipeline.domain.audit import AuditKind
from m2m_pipeline.domain.problems import RequestRejectedError
from m2m_pipeline.web.bodies import read_request
from m2m_pipeline.web.page import visiting
from m2m_pipeline.web.problems import ProblemError

BOUNDARY = "b"
FILE = 'name="file"; filename="sims.csv"\r\n\r\niccid\n8988216716970000001\n'
PROVIDER, PLAN = 'name="provider"\r\n\r\natt', 'name="rate_plan"\r\n\r\nPlan'


def request_of(*parts: str) -> Request:
    """A form as a server hands it on."""
    content = "".join(f"--{BOUNDARY}\r\nContent-Disposition: form-data; {part}\r\n" for part in parts)
    body = f"{content}--{BOUNDARY}--\r\n".encode()

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [
        (b"content-type", f"multipart/form-data; boundary={BOUNDARY}".encode()),
        (b"host", b"m2m.example"),
        (b"origin", b"https://m2m.example"),
    ]
    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/", "headers": headers, "query_string": b""}
    return Request(scope, receive)


def file_of(request: Request) -> BinaryIO:
    """The file that the request brought."""
    form = request._form
    assert form is not None
    (file,) = [value.file for value in form.values() if isinstance(value, UploadFile)]
    return file


def test_the_file_of_a_request_is_closed_once_it_is_read() -> None:
    request = request_of(FILE, PROVIDER, PLAN)
    asked = asyncio.run(read_request(request))
    assert list(asked.devices) == ["8988216716970000001"]
    assert file_of(request).closed


def test_the_file_of_a_form_that_is_refused_is_closed() -> None:
    request = request_of(FILE, PROVIDER, PROVIDER)
    with pytest.raises(RequestRejectedError, match="twice"):
        asyncio.run(read_request(request))
    assert file_of(request).closed


def test_the_file_of_a_page_form_without_its_token_is_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    request = request_of(FILE)

    noted: list[str] = []

    def denied(_kind: AuditKind, _actor: str, what: str, _tenant_id: int | None) -> None:
        noted.append(what)

    door = SimpleNamespace(
        settings=SimpleNamespace(max_body_bytes=1000, public_url=None),
        application=SimpleNamespace(security_log=SimpleNamespace(denied=denied)),
    )

    def the_door(_request: Request) -> SimpleNamespace:
        return door

    monkeypatch.setattr(visiting, "front_door", the_door)

    async def refused() -> bool:
        with pytest.raises(ProblemError):
            await anext(visiting.own_form(request))
        return file_of(request).closed

    assert asyncio.run(refused())
    assert noted == ["POST /: a form without the token of its page."]
