"""The benchmark's end of a measured process."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.launching import start
from benchmarks.measurement import InvalidRunError
from benchmarks.protocol import Ready, Work
from m2m_pipeline.local.children import end_group, tail

STARTUP_SECONDS = 120.0
EXIT_SECONDS = 60.0


class Child:
    """A process of its own that works on an order; it does not outlive us, and its output is in `log`."""

    def __init__(self, module: str, argument: str, environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        self._started = time.monotonic()
        self._process = start(
            ["-m", "benchmarks.measured", module, argument],
            log=log,
            environment={**os.environ, **environment},
            death_signal=signal.SIGKILL,
        )
        self.startup_seconds = 0.0
        self.startup_cpu_seconds = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it, whatever it does."""
        end_group(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def await_ready(self) -> Self:
        """Wait until it could begin. Raises InvalidRunError, with the end of its log, if it does not come so far."""
        self.startup_cpu_seconds = Ready.model_validate_json(self._line(STARTUP_SECONDS)).cpu_seconds
        self.startup_seconds = time.monotonic() - self._started
        return self

    def begin(self, order: str) -> None:
        """Give it its order."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n".encode())

    def await_work(self, patience: float) -> Work:
        """Wait for its report and its end. Raises InvalidRunError after `patience` seconds, or if it fails."""
        work = Work.model_validate_json(self._line(patience))
        try:
            self._process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired as error:
            fault = f"{self._log.name}: the measured process had not ended {EXIT_SECONDS:g} s after its work"
            raise InvalidRunError(fault) from error
        return work

    def _line(self, patience: float) -> bytes:
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], patience)
        line = self._process.stdout.readline() if readable else b""
        if not line:
            fate = "failed" if readable else f"said nothing for {patience:.0f} s"
            raise InvalidRunError(f"{self._log.name}: the measured process {fate}; its end:\n{tail(self._log)}")
        return line
