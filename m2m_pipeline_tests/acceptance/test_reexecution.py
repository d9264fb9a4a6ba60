"""What may be done with an interrupted run: nothing of it sends a settled device again, or ends a change too early."""

import os
import signal
from collections.abc import Mapping

import dagster as dg
import pytest

from m2m_pipeline.domain.status import DeviceStatus
from m2m_pipeline_tests.acceptance import buttons
from m2m_pipeline_tests.acceptance.site import Site
from m2m_pipeline_tests.acceptance.test_crash_and_resume import (
    BATCH_SIZE,
    DEVICES,
    Crashed,
    lease_has_run_out,
    submit_to_silence,
    told,
    worker_of,
)
from m2m_pipeline_tests.acceptance.waiting import eventually
from m2m_pipeline_tests.invariants import check_all

pytestmark = [pytest.mark.xdist_group("acceptance"), pytest.mark.timeout(600)]

_FIRST_BATCH = ("change_devices[batch_0001]", "update_amop[batch_0001]", "write_audit[batch_0001]")
_SUCCESS, _FAILURE = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE


@pytest.fixture(scope="module")
def interrupted(site: Site) -> Mapping[str, Crashed]:
    """Three changes in the middle of their first batch: the runs of two were killed, one run was terminated."""
    changes = {name: submit_to_silence(site) for name in ("steps", "launchpad", "terminate")}
    for name, one in changes.items():
        eventually(lambda one=one: site.puts(one.account) >= BATCH_SIZE or None, "the first batch at the carrier")
        one.run_id = site.runs(one.id)[0].dagster_run.run_id
        if name == "terminate":
            buttons.terminate(site, one.run_id)
        else:
            os.kill(worker_of(site, one.run_id), signal.SIGKILL)
        site.control.stop(one.silence)
    for one in changes.values():
        site.finished(one.run_id)
        eventually(lambda one=one: lease_has_run_out(site, one.id) or None, "the end of the lease")
    return changes


def test_selected_steps_bring_their_batch_to_its_end_and_leave_the_change_open(
    site: Site, interrupted: Mapping[str, Crashed]
) -> None:
    one = interrupted["steps"]
    first = site.finished(buttons.reexecute_steps(site, one.run_id, _FIRST_BATCH))
    after_first = site.document(one.id)
    last = site.finished(buttons.reexecute_steps(site, one.run_id, ["finalize_bulk_change"]))
    after_last = site.document(one.id)
    whole = site.finished(site.reexecute(one.run_id, "ALL_STEPS"))

    assert first.status is _SUCCESS
    assert after_first.counts[DeviceStatus.PROCESSED] == after_first.settled == BATCH_SIZE
    assert last.status is _FAILURE
    assert after_last.status == "PROCESSING"
    assert whole.status is _SUCCESS
    assert_done_once(site, one)


def test_an_id_in_the_launchpad_takes_up_what_was_killed(site: Site, interrupted: Mapping[str, Crashed]) -> None:
    one = interrupted["launchpad"]
    run = site.finished(buttons.launch(site, one.id))

    assert run.status is _SUCCESS
    assert_done_once(site, one)


def test_a_terminated_run_can_be_re_executed_at_once(site: Site, interrupted: Mapping[str, Crashed]) -> None:
    one = interrupted["terminate"]
    stopped = site.finished(one.run_id)
    again = site.finished(site.reexecute(one.run_id, "ALL_STEPS"))

    assert stopped.status is dg.DagsterRunStatus.CANCELED
    assert again.status is _SUCCESS
    assert_done_once(site, one)


def test_the_id_of_a_finished_change_in_the_launchpad_does_nothing_and_says_so(
    site: Site, interrupted: Mapping[str, Crashed]
) -> None:
    one = interrupted["terminate"]
    before = site.evidence(one.id, one.account)
    run = site.finished(buttons.launch(site, one.id))
    after = site.evidence(one.id, one.account)

    assert run.status is _SUCCESS
    assert "has ended as PROCESSED: nothing to do" in told(site, run.run_id)
    assert after.calls == before.calls
    assert after.audit == before.audit


def assert_done_once(site: Site, one: Crashed) -> None:
    """Every device of a change was changed, once, and nothing else happened."""
    ended = site.ended(one.id, one.account)
    assert ended.document.counts == {"PROCESSED": DEVICES}
    check_all(ended.evidence)
