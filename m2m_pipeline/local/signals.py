"""Being told to stop, once: what follows must be able to end the services undisturbed."""

import signal
from types import FrameType


class StopRequested(BaseException):
    """SIGINT, SIGTERM or SIGHUP arrived."""


class StopSignals:
    """Once made, the first such signal interrupts the main thread with `StopRequested`; later ones do nothing."""

    def __init__(self) -> None:
        self.received = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # nohup ignores SIGHUP, and a shell's background job SIGINT; the latter we want all the same.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._receive)

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        if not self.received:
            self.received = True
            raise StopRequested
