"""The answer to what is no HTTP: the application never sees it, so the web server has to give it."""

import asyncio

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from m2m_pipeline.web.problems import problem_response

_DETAIL = "What came is no HTTP/1.1 request: its first line or one of its headers breaks the syntax. Nothing was done."


class ProblemProtocol(AutoHTTPProtocol):
    """uvicorn's HTTP protocol, which by itself answers such a request with a line of plain text."""

    transport: asyncio.Transport

    def send_400_response(self, _message: str) -> None:
        """Answer a problem document instead, and close: where the next request would begin is unknown."""
        answer = problem_response("malformed-http", _DETAIL)
        headers = b"".join(b"%s: %s\r\n" % header for header in (*answer.raw_headers, (b"connection", b"close")))
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n%s\r\n%s" % (headers, answer.body))
        self.transport.close()
