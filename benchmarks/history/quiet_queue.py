"""An inbound queue in which there is never a message: the intake has its ticks."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

_NO_MESSAGE = b"{}"


class _Quiet(BaseHTTPRequestHandler):
    """SQS, as far as a queue is asked for messages and has none."""

    def do_POST(self) -> None:
        """Answer."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(_NO_MESSAGE)))
        self.end_headers()
        self.wfile.write(_NO_MESSAGE)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


@contextmanager
def quiet_queue(tenant: str) -> Generator[Mapping[str, str]]:
    """The environment of a process that takes requests of a tenant from the queue."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Quiet) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        try:
            yield {
                "M2M_SQS_QUEUE_URL": f"{address}/1/requests",
                "M2M_SQS_ENDPOINT_URL": address,
                "M2M_SQS_REGION": "eu-west-1",
                "M2M_SQS_TENANT": tenant,
                "AWS_ACCESS_KEY_ID": "bench",
                "AWS_SECRET_ACCESS_KEY": "bench",
            }
        finally:
            server.shutdown()
