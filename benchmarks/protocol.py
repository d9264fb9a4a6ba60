"""Between the benchmark and a measured process: ready, an order, what it cost. One line of JSON each, on its pipes.

So that start-up (interpreter, imports, tables) is measured apart from work, and several processes begin together.
"""

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

from pydantic import BaseModel


class Ready(BaseModel):
    """The process waits for its order; what it has cost until now."""

    cpu_seconds: float


class Work(BaseModel):
    """An order was carried out. `began` and `ended` are seconds of the machine's monotonic clock."""

    began: float
    ended: float
    cpu_seconds: float
    peak_rss_mb: float
    told: dict[str, str]

    @property
    def seconds(self) -> float:
        """From the order to its end."""
        return self.ended - self.began


Worker = Callable[[str], Mapping[str, str]]
"""Carries out an order; what it returns comes with the report."""


def serve(prepare: Callable[[str], Worker], argument: str) -> None:
    """Prepare, say so, carry out the order that comes on standard input, report. Without an order, end."""
    answers = _claim_stdout()
    worker = prepare(argument)
    _say(answers, Ready(cpu_seconds=time.process_time()))
    order = sys.stdin.readline().strip()
    if not order:
        return
    cpu, began = time.process_time(), time.monotonic()
    told = worker(order)
    ended, cpu = time.monotonic(), time.process_time() - cpu
    _say(answers, Work(began=began, ended=ended, cpu_seconds=cpu, peak_rss_mb=peak_rss_mb(), told=dict(told)))


def peak_rss_mb() -> float:
    """The most memory that this process has ever had resident, in MB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise LookupError("/proc/self/status has no VmHWM: memory can be measured on Linux only")


def _claim_stdout() -> TextIO:
    """Keep standard output for the protocol: what the measured library prints goes to the log, with its errors."""
    answers, sys.stdout = sys.stdout, sys.stderr
    return answers


def _say(answers: TextIO, line: BaseModel) -> None:
    answers.write(line.model_dump_json() + "\n")
    answers.flush()
