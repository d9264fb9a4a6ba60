"""SIGKILL for real processes: run workers, code servers, the daemon, or all of Dagster, while changes are under way."""

import os
import random
import signal
from collections.abc import Mapping, Sequence
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
        ended = site.ended(change.id, change.account)
        last = ended.runs[-1].dagster_run
        # A kill may come between the commit of the change's end and the end of the run that made it.
        if last.status is not dg.DagsterRunStatus.SUCCESS and not _told_the_end(ended.evidence, last.run_id):
            broken.append(f"the last run is {last.status}")
        verdicts.append(judge(f"kill: {target}", _undisturbed(ended.evidence), killed, *broken))
    return verdicts


def _told_the_end(evidence: Evidence, run_id: str) -> bool:
    """Whether this run has ended the bulk change."""
    return any(entry.kind == "BULK_CHANGE_ENDED" and entry.actor == f"run {run_id}" for entry in evidence.audit)


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


def _undisturbed(evidence: Evidence) -> Evidence:
    """Without the calls in a second: on a machine that starts all of Dagster, one call comes late."""
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
