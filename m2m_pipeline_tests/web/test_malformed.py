"""What is no HTTP is answered like everything else that we refuse, though no application ever sees it."""

import socket
from urllib.parse import urlsplit

import httpx
import pytest

from m2m_pipeline_tests.web.door import Door

_KNOWN = "GET /api/v1/providers HTTP/1.1\r\nHost: m2m\r\n"


@pytest.mark.parametrize(
    "sent",
    ["no HTTP at all\r\n\r\n", _KNOWN + "Content-Length: !E\r\n\r\n", _KNOWN + "a header without a colon\r\n\r\n"],
)
def test_what_is_no_http_is_refused_in_words_and_by_the_document(door: Door, sent: str) -> None:
    where = urlsplit(door.url)
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=10) as connection:
        connection.sendall(sent.encode())
        status, _, rest = b"".join(iter(lambda: connection.recv(4096), b"")).partition(b"\r\n")
    headers, _, body = rest.partition(b"\r\n\r\n")
    pairs = [(name, value) for name, _, value in (line.partition(b": ") for line in headers.split(b"\r\n"))]
    answer = httpx.Response(int(status.split()[1]), headers=pairs, content=body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:m2m:problem:malformed-http"
    assert int(answer.headers["content-length"]) == len(body)
