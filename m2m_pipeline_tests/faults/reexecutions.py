"""Runs are interrupted in the middle of a change, and a person does with them everything that Dagster's UI offers.

Alone, so that nobody but the person helps; or beside the sweeper, as on a site in use: it queues the next attempt at
the same time, and may come first.
"""

import os
import random
import signal
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from m2m_pipeline.domain.status import DeviceStatus
from m2m_pipeline.simulator.documents import LedgerCall
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.acceptance import buttons
from m2m_pipeline_tests.acceptance.accounts import DEVICES_EACH
from m2m_pipeline_tests.acceptance.site import Site
from m2m_pipeline_tests.evidence import Evidence
from m2m_pipeline_tests.faults.interrupted import CANCELED, FAILURE, SUCCESS, Interrupted, TooQuickError, worker_of
from m2m_pipeline_tests.faults.verdict import Verdict, judge

BATCH_SIZES = (2, 3, 4)
"""So at least three batches: a run that stands still may have begun the next one too, but never the last."""

TRIES = 5
"""So many changes may be begun until the run of one is interrupted in time. Another is told of if it broke a rule."""

AT_ONCE = 3
"""Changes in work at the same time: most of the time they wait for processes to load, and for leases to run out."""


def reexecute(site: Site, seed: int, forms: Collection[str], *, alone: bool) -> Mapping[str, Verdict]:
    """One change for each form; the verdicts by form. `alone`: the sweeper stands still; else it runs."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(forms, pool.map(partial(_reexecute, site, seed, alone), forms), strict=True))


def _reexecute(site: Site, seed: int, alone: bool, form: str) -> Verdict:
    draw = random.Random(f"{seed} {form}")  # noqa: S311 - reproducible, not secret
    for _ in range(TRIES - 1):
        with suppress(TooQuickError):
            return _play(site, draw, alone, form)
    return _play(site, draw, alone, form)


def _play(site: Site, draw: random.Random, alone: bool, form: str) -> Verdict:
    one = Interrupted(site, site.account(), draw.choice(BATCH_SIZES), draw, alone)
    one.stand_still(draw.randrange(DEVICES_EACH - 2 * one.batch_size), one.submit)
    try:
        broken = list(_ALL[form](one))
    except TooQuickError:  # nothing was tried, and what must hold of every change holds of this one
        if (verdict := judge(f"re-execution: {form}, in vain", _evidence(one), one.kills)).holds:
            raise
        return verdict
    evidence, counts = _evidence(one), site.document(one.id).counts
    if counts != {DeviceStatus.PROCESSED: DEVICES_EACH}:
        broken.append(f"it ended with {counts}")
    unheard = [one.account.iccids[place] for place in one.unheard]
    broken += [f"{iccid} was changed, and sent again" for iccid in unheard if len(_not_refused(evidence, iccid)) != 1]
    return judge(f"re-execution: {form}", evidence, one.kills, *broken)


def _evidence(one: Interrupted) -> Evidence:
    """What the change has left behind once it is at its end."""
    one.site.wait_for_end(one.id)
    return one.site.evidence(one.id, one.account)


def _not_refused(evidence: Evidence, iccid: str) -> list[LedgerCall]:
    """The calls that have changed a device, or may have."""
    return [put for put in evidence.puts(iccid) if put.status is None or put.status < 400]


def _all_steps(one: Interrupted) -> Iterator[str]:
    yield from one.kill()
    yield from one.comes_to(one.site.reexecute(one.run_id, "ALL_STEPS"), SUCCESS)


def _killed_again(one: Interrupted) -> Iterator[str]:
    yield from one.kill()
    one.stand_still(DEVICES_EACH - 1, lambda: one.site.reexecute(one.run_id, "ALL_STEPS"))
    yield from one.kill()
    yield from one.comes_to(one.site.reexecute(one.run_id, "ALL_STEPS"), SUCCESS)


def _from_failure(one: Interrupted) -> Iterator[str]:
    """Dagster leaves out mapped steps that never started."""
    yield from one.kill()
    run_id = one.site.reexecute(one.run_id, "FROM_FAILURE")
    yield from one.comes_to(run_id, FAILURE)
    if one.alone and "Re-execute all steps of the run" not in (told := str(one.site.failures(run_id))):
        yield f"nobody says what to do: {told}"
    yield from one.is_open()
    yield from one.comes_to(one.site.reexecute(one.run_id, "ALL_STEPS"), SUCCESS)
    yield from one.does_nothing(lambda: one.site.reexecute(one.run_id, "FROM_FAILURE"))


def _selected_steps(one: Interrupted) -> Iterator[str]:
    """Those of the batch that was interrupted, and then the last step."""
    yield from one.kill()
    batch = one.unheard[-1] // one.batch_size + 1
    steps = [f"{step}[batch_{batch:04d}]" for step in ("change_devices", "update_amop", "write_audit")]
    yield from one.comes_to(buttons.reexecute_steps(one.site, one.run_id, steps), SUCCESS)
    rows = one.site.evidence(one.id, one.account).rows[(batch - 1) * one.batch_size : batch * one.batch_size]
    if one.alone and {row.status for row in rows} != {DeviceStatus.PROCESSED}:
        yield f"batch {batch} is not at its end: {rows}"
    yield from one.comes_to(buttons.reexecute_steps(one.site, one.run_id, ["finalize_bulk_change"]), FAILURE)
    yield from one.is_open()
    yield from one.comes_to(one.site.reexecute(one.run_id, "ALL_STEPS"), SUCCESS)
    yield from one.does_nothing(lambda: buttons.reexecute_steps(one.site, one.run_id, steps))


def _launchpad(one: Interrupted) -> Iterator[str]:
    yield from one.kill()
    yield from one.comes_to(buttons.launch(one.site, one.id), SUCCESS)


def _terminated(one: Interrupted) -> Iterator[str]:
    """It has given its lease back: nobody has to wait."""
    yield from one.interrupt(lambda: buttons.terminate(one.site, one.run_id), CANCELED)
    yield from one.comes_to(one.site.reexecute(one.run_id, "ALL_STEPS"), SUCCESS)


def _left(one: Interrupted) -> Iterator[str]:
    """To terminate a run is not to cancel its change."""
    yield from one.interrupt(lambda: buttons.terminate(one.site, one.run_id), CANCELED)


def _interrupted(one: Interrupted) -> Iterator[str]:
    """Ctrl-C at the worker: as after a termination, nobody has to wait for the lease."""
    worker = worker_of(one.site, one.run_id)
    yield from one.interrupt(lambda: os.kill(worker, signal.SIGINT), FAILURE)
    yield from one.comes_to(one.site.reexecute(one.run_id, "ALL_STEPS"), SUCCESS)


def _all_at_once(one: Interrupted) -> Iterator[str]:
    """One of them takes the change, and the others say that there is nothing for them to do."""
    yield from one.kill()
    again = (one.site.reexecute(one.run_id, "ALL_STEPS") for _ in range(2))
    runs = [*again, buttons.launch(one.site, one.id)]
    for run_id in runs:
        yield from one.comes_to(run_id, SUCCESS)
    worked = [run_id for run_id in runs if one.site.steps(run_id) != ["validate_request"]]
    if one.alone and len(worked) != 1:
        yield f"of {len(runs)} runs at once {len(worked)} worked on it"


def _retried(one: Interrupted) -> Iterator[str]:
    """The last device is refused and tried again (`m2m retry`); killed in that, the run from before is re-executed."""
    first, refused = one.run_id, one.account.iccids[-1]
    one.site.control.start(Rule(name="device_refused", iccids=frozenset({refused}), calls=1))
    yield from one.kill()
    yield from one.comes_to(one.site.reexecute(first, "ALL_STEPS"), SUCCESS)
    one.site.wait_for_end(one.id)
    counts = one.site.document(one.id).counts
    if counts != {DeviceStatus.PROCESSED: DEVICES_EACH - 1, DeviceStatus.REFUSED: 1}:
        yield f"before it was tried again it ended with {counts}"
    one.stand_still(DEVICES_EACH - 1, lambda: one.site.command("retry", str(one.id), "--tenant", one.account.tenant))
    yield from one.kill()
    yield from one.comes_to(one.site.reexecute(first, "ALL_STEPS"), SUCCESS)
    asked = [put.iccid for put in one.site.evidence(one.id, one.account).puts()]
    if len(asked) != DEVICES_EACH + 1:
        yield f"more was sent again than what was refused: {asked}"


FORMS: Mapping[str, Callable[[Interrupted], Iterator[str]]] = {
    "m2m retry, killed, then all steps": _retried,  # the longest first
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

LEFT = "terminated, and left to the sweeper"
"""To be played beside the sweeper: the person does nothing more."""

_ALL: Mapping[str, Callable[[Interrupted], Iterator[str]]] = {**FORMS, LEFT: _left}
