"""SIGKILL for real processes: run workers, code servers, the daemon, or all of Dagster, while changes are under way."""

import os
import random
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import dagster as dg
import psutil

from m2m_pipeline.domain.status import ENDED_BULK_CHANGES
from m2m_pipeline.services.accounts import ProviderSettings
from m2m_pipeline_tests.acceptance.accounts import Account
from m2m_pipeline_tests.acceptance.site import Site
from m2m_pipeline_tests.acceptance.waiting import eventually
from m2m_pipeline_tests.evidence import Evidence
from m2m_pipeline_tests.faults.verdict import Verdict, judge
from m2m_pipeline_tests.invariants import beyond_permits

CALLS_PER_SECOND = 4.0
"""So slow that there is a middle of the run to be killed in: twelve devices take three seconds."""

_BATCH_SIZE = 4


_RUN_WORKER, _CODE_SERVER, _DAEMON, _WEBSERVER = "spawn_main", "grpc", "dagster._daemon", "dagster_webserver"

TARGETS: Mapping[str, Sequence[str]] = {
    "run workers": (_RUN_WORKER,),
    "code servers": (_CODE_SERVER,),
    "daemon": (_DAEMON,),
    "all of Dagster": (_RUN_WORKER, _CODE_SERVER, _DAEMON, _WEBSERVER),
}
"""What the command lines of the processes have in them."""


@dataclass(frozen=True, slots=True)
class _UnderWay:
    account: Account
    id: int
    puts: int  # after so many calls the kill comes


def storm(site: Site, seed: int, targets: Sequence[str]) -> list[Verdict]:
    """A change for each target, all at once; when a change is in its middle, its target is killed. Nobody helps."""
    draw = random.Random(f"{seed} storm")  # noqa: S311 - reproducible, not secret
    changes = [_submit(site, draw) for _ in targets]
    kills = [0] * len(changes)
    left = list(range(len(changes)))

    def strike() -> bool | None:
        """Kill what is due; whether nothing is left to kill. A target that another kill has struck comes back first."""
        for place in [one for one in left if _in_its_middle(site, changes[one])]:
            kills[place] = kill(site, targets[place])
            if kills[place] or site.document(changes[place].id).status in ENDED_BULK_CHANGES:
                left.remove(place)
        return not left or None

    eventually(strike, "the middle of every bulk change")
    verdicts: list[Verdict] = []
    for change, target, killed in zip(changes, targets, kills, strict=True):
        broken = [] if killed else [f"there was nothing to kill: {target}"]
        site.wait_for_end(change.id)
        evidence, last = site.evidence(change.id, change.account), site.runs(change.id)[-1].dagster_run
        # A kill may come between the commit of the change's end and the end of the run that made it.
        if last.status is not dg.DagsterRunStatus.SUCCESS and not _made_the_end(evidence, last.run_id):
            broken.append(f"the last run is {last.status}")
        broken += [*_not_shown(site, change.id), *_beyond_permits(evidence)]
        verdicts.append(judge(f"kill: {target}", _undisturbed(evidence), killed, *broken))
    return verdicts


def _made_the_end(evidence: Evidence, run_id: str) -> bool:
    """Whether this run has ended the bulk change; it may have been killed before it told the catalog."""
    return any(entry.kind == "BULK_CHANGE_ENDED" and entry.actor == f"run {run_id}" for entry in evidence.audit)


def _not_shown(site: Site, bulk_change_id: int) -> Iterator[str]:
    """Wait until somebody has told the catalog of the end: its run, or, where that was killed before, the sweeper."""
    told = "SELECT 1 FROM m2m.bulk_change WHERE id = %s AND shown_end = coalesce(settled_at, finished_at)"
    eventually(
        lambda: site.sql(told, bulk_change_id) or None,
        f"that the catalog is told of the end of bulk change {bulk_change_id}",
        lambda: site.story(bulk_change_id),
    )
    ended, shown = site.document(bulk_change_id).status, site.shown_end(bulk_change_id)
    if shown != ended:
        yield f"it ended as {ended}, and the catalog shows {shown}"


def kill(site: Site, target: str) -> int:
    """Kill every process of the site that is meant; how many there were."""
    killed = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            ours = process.environ().get("M2M_STATE_DIR") == str(site.state)
            if ours and any(word in " ".join(process.cmdline()) for word in TARGETS[target]):
                os.kill(process.pid, signal.SIGKILL)
                killed += 1
    return killed


def _beyond_permits(evidence: Evidence) -> Iterator[str]:
    """Spans of time in which the account was called more often than it has permits for, whoever was killed."""
    starts = [call.start for call in evidence.calls]
    rate, in_flight = evidence.bulk.calls_per_second, evidence.bulk.in_flight
    for calls, seconds in beyond_permits(starts, rate, in_flight):
        yield f"{calls} calls in {seconds:.2f} s, at {rate:g} calls/s and {in_flight} in flight"


def _undisturbed(evidence: Evidence) -> Evidence:
    """Without the most calls in a second, of which a starved machine makes more than were permitted in it.

    Permits keep to 97.5 % of the limit: of five calls at 4/s, the last has its moment 26 ms after the first one's
    second. Where all of Dagster is being started on two cores, the first may be held up on its way by more than
    that, or be seen late by the simulator, whose ledger has when it saw a call and not when that was sent. Then
    there are five in a second of which each had its permit, so that the sliding second judges the machine.
    `_beyond_permits` judges us: over spans of any length it allows for as many late calls as may be on their way,
    and for no more.
    """
    return replace(evidence, summary=evidence.summary.model_copy(update={"max_calls_in_a_second": {}}))


def _submit(site: Site, draw: random.Random) -> _UnderWay:
    account = site.account(
        ProviderSettings(integration_type="POD19", base_url=site.carrier_url, calls_per_second=CALLS_PER_SECOND)
    )
    bulk_change_id = site.submit(account, account.iccids, batch_size=_BATCH_SIZE)
    return _UnderWay(account, bulk_change_id, draw.randint(2, len(account.iccids) - 2))


def _in_its_middle(site: Site, change: _UnderWay) -> bool | None:
    """Whether it has made its calls, or a kill that was meant for another has struck it before."""
    return site.puts(change.account) >= change.puts or len(site.runs(change.id)) > 1 or None
