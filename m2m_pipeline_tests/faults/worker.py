"""Work in operating-system processes of their own, which can be killed, stopped, and watched."""

import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection

import psutil

from m2m_pipeline.bootstrap import Application, build
from m2m_pipeline.services import paced
from m2m_pipeline.services.execution import abandoned
from m2m_pipeline.settings import Settings
from m2m_pipeline.storage import gate
from m2m_pipeline_tests.faults.points import Point, arm
from m2m_pipeline_tests.world import QuickCarriers

ANSWER_SECONDS = 1.0
CALL_ENDS_SECONDS = 1.5
"""How long a dead process's calls hold their places at the carrier: longer than any call takes here."""

# Importing the product takes seconds, forking a process that has imported it none.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


@dataclass(frozen=True, slots=True)
class Errand:
    """What is done with the services, and which signal strikes whoever does it where (`nth` passing of `point`)."""

    settings: Mapping[str, str]
    work: Callable[[Application], object]
    point: Point | None = None
    nth: int = 1
    number: signal.Signals = signal.SIGKILL


class Worker:
    """A process with an errand."""

    def __init__(self, errand: Errand) -> None:
        self._mouth, mouth = _CONTEXT.Pipe(duplex=False)
        self._process = _CONTEXT.Process(target=_run, args=(errand, mouth), daemon=True)
        self._process.start()
        mouth.close()

    @property
    def alive(self) -> bool:
        """Whether it has not ended; a stopped one has not."""
        return self._process.is_alive()

    @property
    def stopped(self) -> bool:
        """Whether it is stopped, as by SIGSTOP."""
        return psutil.Process(self._process.pid).status() == psutil.STATUS_STOPPED

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended already."""
        if self._process.pid is not None and self.alive:
            os.kill(self._process.pid, number)

    def end(self, seconds: float = 120.0) -> str:
        """Wait for its end: `done`, `killed`, or what its errand failed with."""
        self._process.join(seconds)
        assert not self.alive, f"process {self._process.pid} has not ended within {seconds:g} s"
        said = self._said()
        return "killed" if self._process.exitcode == -signal.SIGKILL else said

    def _said(self) -> str:
        try:
            return str(self._mouth.recv()) if self._mouth.poll() else f"exit status {self._process.exitcode}"
        except EOFError:
            return f"exit status {self._process.exitcode}"
        finally:
            self._mouth.close()


def application(settings: Mapping[str, str]) -> Application:
    """The product as this process would build it, with times that a test can wait for."""
    gate.CALL_ENDS_SECONDS = CALL_ENDS_SECONDS
    abandoned.LEAVES_WITHIN_SECONDS = 0.5
    paced.READ_BACKOFF_SECONDS = 0.05
    return build(Settings.model_validate(settings), QuickCarriers(ANSWER_SECONDS, CALL_ENDS_SECONDS))


def _run(errand: Errand, mouth: Connection) -> None:
    logging.disable(logging.WARNING)  # trouble is what it is here for
    services = application(errand.settings)
    if errand.point is not None:
        arm(errand.point, errand.nth, errand.number)
    try:
        errand.work(services)
        mouth.send("done")
    except Exception as error:  # noqa: BLE001 - whoever started this process judges it
        mouth.send(f"{type(error).__name__}: {error}")
        sys.exit(1)


def attempt(services: Application, *, bulk_change_id: int, owner: str) -> None:
    """A run, step by step as the job makes it; one that fails gives its lease back, as the job's steps do."""
    execution = services.execution
    try:
        execution.validate_request(bulk_change_id, owner)
        execution.build_change_details(bulk_change_id, owner)
        execution.authenticate_carrier(bulk_change_id, owner)
        for batch in execution.plan_batches(bulk_change_id, owner):
            execution.change_devices(batch, owner, read_ahead=True)
            execution.update_amop(batch, owner)
            execution.write_audit(batch, owner)
        execution.finalize(bulk_change_id, owner)
    except Exception:
        execution.release(owner)
        raise
