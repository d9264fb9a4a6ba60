"""Misses the watcher, from a process that lives on when the Dagster daemon has died."""

import logging
import threading
import time
from types import TracebackType
from typing import Self

from m2m_pipeline.services.alerting import Alerting
from m2m_pipeline.services.outbox import Outbox

LOOK_SECONDS = 60.0


class Guard:
    """Looks every minute while it is entered, and once at the start.

    Several of them tell the operators once: the alert is a row. What they cannot deliver they try again.
    """

    def __init__(self, alerting: Alerting, outbox: Outbox) -> None:
        self._alerting = alerting
        self._outbox = outbox
        self._since = time.monotonic()
        self._was_silent = False
        self._stop = threading.Event()
        # Nobody waits for a delivery that hangs when the process ends: another one delivers it.
        self._thread = threading.Thread(target=self._look_regularly, name="guard", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()

    def look(self) -> None:
        """Tell that the watcher is silent, and deliver that, and its end: nobody else delivers meanwhile.

        Raises:
            DatabaseUnavailableError: nothing was told.

        """
        is_silent = self._alerting.miss_the_watcher(time.monotonic() - self._since)
        if is_silent or self._was_silent:
            self._outbox.deliver(operators_only=True)
        self._was_silent = is_silent

    def _look_regularly(self) -> None:
        while True:
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - it has to outlive whatever happens: the next look is the retry
                logging.getLogger(__name__).warning("The watcher cannot be looked at: %s", type(error).__name__)
            if self._stop.wait(LOOK_SECONDS):
                return
