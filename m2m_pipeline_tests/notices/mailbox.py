"""An SMTP server over a real socket, as far as a client that hands over one mail needs it."""

import socketserver
import threading
from types import TracebackType
from typing import Self


class SmtpStand:
    """Takes mails, or refuses each recipient with `refusal` (such as "550 no")."""

    def __init__(self, refusal: str = "") -> None:
        self.mails: list[bytes] = []
        stand = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(b"220 here\r\n")
                for line in self.rfile:
                    verb = line.split()[0].upper() if line.strip() else b""
                    if verb == b"DATA":
                        self.wfile.write(b"354 go on\r\n")
                        stand.mails.append(b"".join(iter(self.rfile.readline, b".\r\n")))
                    answer = b"221 bye" if verb == b"QUIT" else b"250 yes"
                    if verb == b"RCPT" and refusal:
                        answer = refusal.encode()
                    self.wfile.write(answer + b"\r\n")
                    if verb == b"QUIT":
                        return

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.settings = {
            "smtp_host": "127.0.0.1",
            "smtp_port": self._server.server_address[1],
            "smtp_from": "m2m@example.com",
            "smtp_starttls": False,
        }

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
