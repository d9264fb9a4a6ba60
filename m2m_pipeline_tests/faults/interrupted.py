"""A bulk change whose run is interrupted in its middle, and what its runs come to afterwards."""

import os
import random
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import dagster as dg

from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.acceptance.accounts import Account
from m2m_pipeline_tests.acceptance.site import Site
from m2m_pipeline_tests.acceptance.waiting import eventually

SUCCESS, FAILURE, CANCELED = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED

_BEATEN = (
    "is being worked on by run",
    "has ended as PROCESSED: nothing to do",
    "is not this run's to work on: nothing was done",
    "no longer owns it. Nothing was written",
    "Re-execute all steps of the run",
)
"""What a run says before which another one has come."""


class TooQuickError(Exception):
    """The run was done before it was interrupted: nothing was tried.

    It stands still for as long as a call may take under a short lease, some seconds, in which a busy machine may not
    come to interrupt it.
    """


@dataclass
class Interrupted:
    """A bulk change whose newest run stands still, at a call that the carrier has carried out and never answers.

    The methods yield what is not as it must be.
    """

    site: Site
    account: Account
    batch_size: int
    draw: random.Random
    alone: bool  # the sweeper stands still
    id: int = 0
    run_id: str = ""
    unheard: list[int] = field(default_factory=list[int])  # the places of such calls' devices, the newest last
    kills: int = 0

    def stand_still(self, unheard: int, begin: Callable[[], object]) -> None:
        """Begin a run, and wait until it stands still; or another one that was quicker."""
        iccid = self.account.iccids[unheard]
        before = self.site.puts(self.account, iccid)
        self.site.control.start(Rule(name="applied_then_silence", iccids=frozenset({iccid}), calls=1))
        begin()
        eventually(
            lambda: self.site.puts(self.account, iccid) > before or None,
            f"the call for {iccid}",
            lambda: self.site.story(self.id),
        )
        ((owner,),) = self.site.sql("SELECT lease_owner FROM m2m.bulk_change WHERE id = %s", self.id)
        self.run_id = str(owner)
        self.unheard.append(unheard)

    def submit(self) -> None:
        """Queue the change, over all devices of its account."""
        self.id = self.site.submit(self.account, self.account.iccids, batch_size=self.batch_size)

    def interrupt(self, how: Callable[[], object], status: dg.DagsterRunStatus) -> Iterator[str]:
        """Interrupt the run, and wait for its end. Raises TooQuickError where it has left nothing to do."""
        self._require(self._leaves_something())
        attempt = self.site.document(self.id).attempt
        how()
        self._require(self.site.finished(self.run_id).status is not SUCCESS)
        yield from self.ends(self.run_id, status)
        if self.alone:
            self._require(self._leaves_something())
            yield from self.is_open()
        else:
            self._wait_for_a_moment(attempt + 1)

    def _leaves_something(self) -> bool:
        document = self.site.document(self.id)
        return document.settled < document.total

    def _require(self, interrupted: bool) -> None:
        if not interrupted:
            raise TooQuickError(self.site.story(self.id))

    def kill(self) -> Iterator[str]:
        """Kill the run's worker, and wait for the end of its lease; the sweeper waits for that by itself."""
        worker = worker_of(self.site, self.run_id)
        yield from self.interrupt(lambda: os.kill(worker, signal.SIGKILL), FAILURE)
        self.kills += 1
        if self.alone:
            eventually(lambda: self._nobody_holds_it() or None, f"the end of the lease of bulk change {self.id}")

    def _wait_for_a_moment(self, attempt: int) -> None:
        """The person comes at once, or when the sweeper has queued the next attempt, or when that has its run."""
        moments: Mapping[str, Callable[[], bool]] = {
            "now": lambda: True,
            "queued": lambda: self.site.document(self.id).attempt >= attempt,
            "dispatched": lambda: any(
                record.dagster_run.tags["m2m/attempt"] == str(attempt) for record in self.site.runs(self.id)
            ),
        }
        moment = self.draw.choice(sorted(moments))
        reached = moments[moment]
        eventually(lambda: reached() or None, f"{moment}: attempt {attempt}", lambda: self.site.story(self.id))

    def ends(self, run_id: str, status: dg.DagsterRunStatus) -> Iterator[str]:
        """Wait for the end of a run."""
        ended = self.site.finished(run_id)
        if ended.status is not status:
            yield f"run {run_id} ended as {ended.status}, not as {status}:\n{self.site.diary(run_id)}"

    def comes_to(self, run_id: str, status: dg.DagsterRunStatus) -> Iterator[str]:
        """Wait for the end of a run that the person has started; beside the sweeper it may say that it was beaten."""
        told = "" if self.alone else self.site.finished(run_id) and self.site.told(run_id)
        if not any(words in told for words in _BEATEN):
            yield from self.ends(run_id, status)

    def is_open(self) -> Iterator[str]:
        """The change has open devices, and so it has not ended; beside the sweeper it may have."""
        if not self.alone:
            return
        document = self.site.document(self.id)
        if document.settled == document.total:
            yield "no device is open: nothing is tried"
        if document.status != "PROCESSING":
            yield f"it is {document.status} with {document.total - document.settled} open devices"

    def does_nothing(self, begin: Callable[[], str]) -> Iterator[str]:
        """Begin a run over the change, which has ended, and wait for its end: it says so, and calls nobody."""
        if not self.alone:
            self.site.wait_for_end(self.id)
        calls = len(self.site.evidence(self.id, self.account).calls)
        run_id = begin()
        yield from self.ends(run_id, SUCCESS)
        if "has ended as PROCESSED: nothing to do" not in (told := self.site.told(run_id)):
            yield f"nobody says that there is nothing to do: {told}"
        if len(self.site.evidence(self.id, self.account).calls) != calls:
            yield "it called the carrier for a change that has ended"

    def _nobody_holds_it(self) -> bool:
        ((free,),) = self.site.sql(
            "SELECT lease_owner IS NULL OR lease_expires_at < clock_timestamp() FROM m2m.bulk_change WHERE id = %s",
            self.id,
        )
        return bool(free)


def worker_of(site: Site, run_id: str) -> int:
    """The process of a run, which Dagster started for us."""
    (pid,) = {int(found[1]) for found in re.finditer(r"Started process for run \(pid: (\d+)\)", site.told(run_id))}
    return pid
