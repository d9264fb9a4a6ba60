"""Runs are interrupted in the middle of a change, and a person does with them everything that Dagster's UI offers."""

import os
import random
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import dagster as dg

from m2m_pipeline.domain.status import DeviceStatus
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.acceptance import buttons
from m2m_pipeline_tests.acceptance.accounts import DEVICES_EACH, Account
from m2m_pipeline_tests.acceptance.site import Site
from m2m_pipeline_tests.acceptance.waiting import eventually
from m2m_pipeline_tests.faults.verdict import Verdict, judge

BATCH_SIZES = (2, 3, 4)
"""So at least three batches: a run that stands still may have begun the next one too, but never the last."""

AT_ONCE = 3
"""Changes in work at the same time: most of the time they wait for processes to load, and for leases to run out."""

_SUCCESS, _FAILURE, _CANCELED = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED


@dataclass
class Interrupted:
    """A bulk change whose newest run stands still, at a call that the carrier has carried out and never answers.

    The methods yield what is not as it must be.
    """

    site: Site
    account: Account
    batch_size: int
    id: int = 0
    run_id: str = ""
    unheard: list[int] = field(default_factory=list[int])  # the places of such calls' devices, the newest last
    kills: int = 0

    def stand_still(self, unheard: int, begin: Callable[[], object]) -> None:
        """Begin a run, and wait until it stands still."""
        iccid = self.account.iccids[unheard]
        self.site.control.start(Rule(name="applied_then_silence", iccids=frozenset({iccid}), calls=1))
        begin()
        eventually(
            lambda: self.site.puts(self.account, iccid) or None,
            f"the call for {iccid}",
            lambda: self.site.story(self.id),
        )
        self.run_id = self.site.runs(self.id)[-1].dagster_run.run_id
        self.unheard.append(unheard)

    def submit(self) -> None:
        """Queue the change, over all devices of its account."""
        self.id = self.site.submit(self.account, self.account.iccids, batch_size=self.batch_size)

    def kill(self) -> Iterator[str]:
        """Kill the run's worker, and wait for the end of its lease."""
        os.kill(worker_of(self.site, self.run_id), signal.SIGKILL)
        self.kills += 1
        yield from self.ends(self.run_id, _FAILURE)
        eventually(lambda: self._nobody_holds_it() or None, f"the end of the lease of bulk change {self.id}")
        yield from self.is_open()

    def ends(self, run_id: str, status: dg.DagsterRunStatus) -> Iterator[str]:
        """Wait for the end of a run."""
        ended = self.site.finished(run_id)
        if ended.status is not status:
            yield f"run {run_id} ended as {ended.status}, not as {status}"

    def is_open(self) -> Iterator[str]:
        """The change has open devices, and so it has not ended."""
        document = self.site.document(self.id)
        if document.settled == document.total:
            yield "no device is open: nothing is tried"
        if document.status != "PROCESSING":
            yield f"it is {document.status} with {document.total - document.settled} open devices"

    def does_nothing(self, run_id: str) -> Iterator[str]:
        """Wait for the end of a run over the change, which has ended: it says so, and calls nobody."""
        calls = len(self.site.evidence(self.id, self.account).calls)
        yield from self.ends(run_id, _SUCCESS)
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


def reexecute_in_every_form(site: Site, seed: int) -> Mapping[str, Verdict]:
    """One change for each form; the verdicts by form. Nobody but the person helps."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(FORMS, pool.map(partial(_reexecute, site, seed), FORMS), strict=True))


def _reexecute(site: Site, seed: int, form: str) -> Verdict:
    draw = random.Random(f"{seed} {form}")  # noqa: S311 - reproducible, not secret
    one = Interrupted(site, site.account(), draw.choice(BATCH_SIZES))
    one.stand_still(draw.randrange(DEVICES_EACH - 2 * one.batch_size), one.submit)
    broken = list(FORMS[form](one))
    ended = site.ended(one.id, one.account)
    if ended.document.counts != {DeviceStatus.PROCESSED: DEVICES_EACH}:
        broken.append(f"it ended with {ended.document.counts}")
    unheard = [one.account.iccids[place] for place in one.unheard]
    broken += [f"{iccid} was changed, and sent again" for iccid in unheard if len(ended.evidence.puts(iccid)) != 1]
    return judge(f"re-execution: {form}", ended.evidence, one.kills, *broken)


def _all_steps(one: Interrupted) -> Iterator[str]:
    yield from one.kill()
    yield from one.ends(one.site.reexecute(one.run_id, "ALL_STEPS"), _SUCCESS)


def _killed_again(one: Interrupted) -> Iterator[str]:
    yield from one.kill()
    one.stand_still(DEVICES_EACH - 1, lambda: one.site.reexecute(one.run_id, "ALL_STEPS"))
    yield from one.kill()
    yield from one.ends(one.site.reexecute(one.run_id, "ALL_STEPS"), _SUCCESS)


def _from_failure(one: Interrupted) -> Iterator[str]:
    """Dagster leaves out mapped steps that never started."""
    yield from one.kill()
    run_id = one.site.reexecute(one.run_id, "FROM_FAILURE")
    yield from one.ends(run_id, _FAILURE)
    if "Re-execute all steps of the run" not in (told := str(one.site.failures(run_id))):
        yield f"nobody says what to do: {told}"
    yield from one.is_open()
    yield from one.ends(one.site.reexecute(one.run_id, "ALL_STEPS"), _SUCCESS)
    yield from one.does_nothing(one.site.reexecute(one.run_id, "FROM_FAILURE"))


def _selected_steps(one: Interrupted) -> Iterator[str]:
    """Those of the batch that was interrupted, and then the last step."""
    yield from one.kill()
    batch = one.unheard[-1] // one.batch_size + 1
    steps = [f"{step}[batch_{batch:04d}]" for step in ("change_devices", "update_amop", "write_audit")]
    yield from one.ends(buttons.reexecute_steps(one.site, one.run_id, steps), _SUCCESS)
    rows = one.site.evidence(one.id, one.account).rows[(batch - 1) * one.batch_size : batch * one.batch_size]
    if {row.status for row in rows} != {DeviceStatus.PROCESSED}:
        yield f"batch {batch} is not at its end: {rows}"
    yield from one.ends(buttons.reexecute_steps(one.site, one.run_id, ["finalize_bulk_change"]), _FAILURE)
    yield from one.is_open()
    yield from one.ends(one.site.reexecute(one.run_id, "ALL_STEPS"), _SUCCESS)
    yield from one.does_nothing(buttons.reexecute_steps(one.site, one.run_id, steps))


def _launchpad(one: Interrupted) -> Iterator[str]:
    yield from one.kill()
    yield from one.ends(buttons.launch(one.site, one.id), _SUCCESS)


def _terminated(one: Interrupted) -> Iterator[str]:
    """It has given its lease back: nobody has to wait."""
    buttons.terminate(one.site, one.run_id)
    yield from one.ends(one.run_id, _CANCELED)
    yield from one.is_open()
    yield from one.ends(one.site.reexecute(one.run_id, "ALL_STEPS"), _SUCCESS)


def _interrupted(one: Interrupted) -> Iterator[str]:
    """Ctrl-C at the worker: as after a termination, nobody has to wait for the lease."""
    os.kill(worker_of(one.site, one.run_id), signal.SIGINT)
    yield from one.ends(one.run_id, _FAILURE)
    yield from one.is_open()
    yield from one.ends(one.site.reexecute(one.run_id, "ALL_STEPS"), _SUCCESS)


def _all_at_once(one: Interrupted) -> Iterator[str]:
    """One of them takes the change, and the others say that there is nothing for them to do."""
    yield from one.kill()
    again = (one.site.reexecute(one.run_id, "ALL_STEPS") for _ in range(2))
    runs = [*again, buttons.launch(one.site, one.id)]
    for run_id in runs:
        yield from one.ends(run_id, _SUCCESS)
    worked = [run_id for run_id in runs if one.site.steps(run_id) != ["validate_request"]]
    if len(worked) != 1:
        yield f"of {len(runs)} runs at once {len(worked)} worked on it"


FORMS: Mapping[str, Callable[[Interrupted], Iterator[str]]] = {
    "all steps": _all_steps,
    "all steps, killed again": _killed_again,
    "from failure": _from_failure,
    "selected steps": _selected_steps,
    "launchpad": _launchpad,
    "terminated, then all steps": _terminated,
    "Ctrl-C, then all steps": _interrupted,
    "all at once": _all_at_once,
}
"""What a person does until the change has ended; each yields what is not as it must be."""


def worker_of(site: Site, run_id: str) -> int:
    """The process of a run, which Dagster started for us."""
    (pid,) = {int(found[1]) for found in re.finditer(r"Started process for run \(pid: (\d+)\)", site.told(run_id))}
    return pid
