"""A run worker that is killed in the middle of its work, and what a person may do with the run afterwards."""

import os
import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg
import pytest

from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests import invariants
from m2m_pipeline_tests.acceptance.accounts import NEW, Account
from m2m_pipeline_tests.acceptance.site import Ended, Site
from m2m_pipeline_tests.acceptance.waiting import eventually

pytestmark = [pytest.mark.xdist_group("acceptance"), pytest.mark.timeout(600)]

DEVICES, BATCH_SIZE = 8, 4
UNHEARD = 2
"""The place of the device whose call is carried out and never answered: there the run stands when it is killed."""


@dataclass
class Crashed:
    """A bulk change whose run was killed while its first batch was with the carrier."""

    account: Account
    id: int
    silence: int  # the rule at the carrier
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Afterwards:
    """Runs that were started by hand after the kill, and the end."""

    from_failure: dg.DagsterRun | None
    status_after_from_failure: str
    open_after_from_failure: int
    all_steps: dg.DagsterRun
    ended: Ended


@pytest.fixture(scope="module")
def crashed(site: Site) -> Sequence[Crashed]:
    """Two bulk changes whose runs were killed, and whose leases have run out."""
    both = [submit_to_silence(site), submit_to_silence(site)]
    for one in both:
        eventually(lambda one=one: site.puts(one.account) >= BATCH_SIZE or None, "the first batch at the carrier")
        one.run_id = site.runs(one.id)[0].dagster_run.run_id
        os.kill(worker_of(site, one.run_id), signal.SIGKILL)
        site.control.stop(one.silence)
    for one in both:
        assert site.finished(one.run_id).status is dg.DagsterRunStatus.FAILURE
        eventually(lambda one=one: lease_has_run_out(site, one.id) or None, "the end of the lease")
    return both


@pytest.fixture(scope="module")
def resumed(site: Site, crashed: Sequence[Crashed]) -> Sequence[Afterwards]:
    """The first change re-executed with all steps; the second from the failure, and then with all steps."""
    whole, partly = crashed
    whole_run = site.reexecute(whole.run_id, "ALL_STEPS")
    failed = site.finished(site.reexecute(partly.run_id, "FROM_FAILURE"))
    document = site.document(partly.id)
    still_open = document.total - document.settled
    partly_run = site.finished(site.reexecute(partly.run_id, "ALL_STEPS"))
    return [
        Afterwards(None, "", 0, site.finished(whole_run), site.ended(whole.id, whole.account)),
        Afterwards(failed, document.status, still_open, partly_run, site.ended(partly.id, partly.account)),
    ]


def test_a_killed_run_leaves_devices_whose_outcome_is_not_guessed(crashed: Sequence[Crashed], site: Site) -> None:
    for one in crashed:
        document = site.document(one.id)

        assert document.status == "PROCESSING"
        assert document.settled < document.total


def test_re_executing_all_steps_after_a_kill_settles_every_device_exactly_once(resumed: Sequence[Afterwards]) -> None:
    for one in resumed:
        changed = sorted(change.iccid for change in one.ended.evidence.changes)

        assert one.all_steps.status is dg.DagsterRunStatus.SUCCESS
        assert one.ended.document.counts == {"PROCESSED": DEVICES}
        assert changed == sorted(one.ended.account.iccids[:DEVICES])
        assert {one.ended.carrier_plan(iccid) for iccid in changed} == {NEW}


def test_after_a_kill_no_device_is_sent_again_before_it_was_read_back(resumed: Sequence[Afterwards]) -> None:
    for one in resumed:
        evidence = one.ended.evidence
        assert len(evidence.puts(one.ended.account.iccids[UNHEARD])) == 1
        invariants.i2_at_most_one_change_and_no_blind_repeat(evidence)
        invariants.i3_the_status_agrees_with_carrier_and_amop(evidence)
        invariants.i4_every_device_is_audited(evidence)
        invariants.i7_only_legal_transitions(evidence)


def test_re_executing_from_the_failure_never_ends_a_change_while_devices_are_open(
    resumed: Sequence[Afterwards],
) -> None:
    """Dagster leaves out mapped steps that never started."""
    _, one = resumed

    assert one.from_failure is not None
    assert one.from_failure.status is dg.DagsterRunStatus.FAILURE
    assert one.status_after_from_failure == "PROCESSING"
    assert one.open_after_from_failure > 0


def test_re_executing_a_finished_change_does_nothing_and_says_so(resumed: Sequence[Afterwards], site: Site) -> None:
    one = resumed[0]
    again = site.finished(site.reexecute(one.all_steps.run_id, "ALL_STEPS"))
    after = site.evidence(one.ended.document.id, one.ended.account)

    assert again.status is dg.DagsterRunStatus.SUCCESS
    assert site.steps(again.run_id) == ["validate_request"]
    assert "has ended as PROCESSED: nothing to do" in told(site, again.run_id)
    assert after.calls == one.ended.evidence.calls
    assert after.audit == one.ended.evidence.audit


def submit_to_silence(site: Site) -> Crashed:
    """A change whose run waits in the middle for an answer that does not come."""
    account = site.account()
    silence = site.control.start(Rule(name="applied_then_silence", iccids=frozenset({account.iccids[UNHEARD]})))
    return Crashed(account, site.submit(account, account.iccids[:DEVICES], batch_size=BATCH_SIZE), silence)


def worker_of(site: Site, run_id: str) -> int:
    """The process of a run, which Dagster started for us."""
    (pid,) = {int(found[1]) for found in re.finditer(r"Started process for run \(pid: (\d+)\)", told(site, run_id))}
    return pid


def lease_has_run_out(site: Site, bulk_change_id: int) -> bool:
    ((expired,),) = site.sql(
        "SELECT lease_expires_at IS NULL OR lease_expires_at < clock_timestamp() FROM m2m.bulk_change WHERE id = %s",
        bulk_change_id,
    )
    return bool(expired)


def told(site: Site, run_id: str) -> str:
    """Everything that a run's log says."""
    return "\n".join(f"{entry.message}\n{entry.dagster_event}" for entry in site.events(run_id))
