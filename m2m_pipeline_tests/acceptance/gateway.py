"""A host between us and the carrier that can be out of reach."""

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from urllib.parse import urlsplit


class Gateway(ThreadingTCPServer):
    """Holds a port on which connections are refused until `open`; then they are led to the carrier."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, carrier_url: str) -> None:
        super().__init__(("127.0.0.1", 0), _Passage, bind_and_activate=False)
        self.server_bind()
        target = urlsplit(carrier_url)
        self.carrier = (str(target.hostname), int(target.port or 80))

    @property
    def url(self) -> str:
        """Where the carrier seems to be."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def open(self) -> None:
        """Let connections through from now on."""
        self.server_activate()
        threading.Thread(target=self.serve_forever, daemon=True).start()


@contextmanager
def closed_gateway(carrier_url: str) -> Generator[Gateway]:
    """A gateway that refuses connections for now."""
    with Gateway(carrier_url) as gateway:
        yield gateway


class _Passage(BaseRequestHandler):
    """One connection."""

    server: Gateway  # pyright: ignore[reportIncompatibleVariableOverride]
    request: socket.socket  # pyright: ignore[reportIncompatibleVariableOverride]

    def handle(self) -> None:
        with socket.create_connection(self.server.carrier) as carrier:
            back = threading.Thread(target=_pour, args=(carrier, self.request), daemon=True)
            back.start()
            _pour(self.request, carrier)
            back.join()


def _pour(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
