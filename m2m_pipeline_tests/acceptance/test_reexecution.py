"""What may be done with an interrupted run: nothing of it sends a settled device again, or ends a change too early.

The sweeper stands still, so that the run alone is judged; in some forms it runs, as on a site in use.
"""

from collections.abc import Mapping

import dagster as dg
import pytest

from m2m_pipeline_tests.acceptance import buttons
from m2m_pipeline_tests.acceptance.site import Ended, Site
from m2m_pipeline_tests.faults.reexecutions import FORMS, LEFT, reexecute
from m2m_pipeline_tests.faults.verdict import Verdict

BESIDE_THE_SWEEPER = ("terminated, then all steps", "from failure", "all at once", LEFT)
"""The others are played so in the soak: in these it is closest who comes first."""

pytestmark = [pytest.mark.xdist_group("acceptance"), pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def verdicts(site: Site) -> Mapping[str, Verdict]:
    """A change for each form, whose run was interrupted, and which was re-executed in this form until its end."""
    return reexecute(site, 1, FORMS, alone=True)


@pytest.fixture(scope="module")
def verdicts_beside_the_sweeper(site: Site) -> Mapping[str, Verdict]:
    """The same, while the sweeper queues the next attempt at the same time."""
    with site.sweeping():
        return reexecute(site, 1, BESIDE_THE_SWEEPER, alone=False)


@pytest.fixture(scope="module")
def finished(site: Site) -> Ended:
    """A bulk change that has ended, undisturbed."""
    account = site.account()
    return site.ended(site.submit(account, account.iccids[:3]), account)


@pytest.mark.parametrize("form", FORMS)
def test_an_interrupted_run_re_executed_in_any_form_ends_no_change_too_early_and_sends_no_settled_device_again(
    verdicts: Mapping[str, Verdict], form: str
) -> None:
    assert verdicts[form].holds, f"{verdicts[form]}"


@pytest.mark.parametrize("form", BESIDE_THE_SWEEPER)
def test_the_same_holds_while_the_sweeper_queues_the_next_attempt_at_the_same_time(
    verdicts_beside_the_sweeper: Mapping[str, Verdict], form: str
) -> None:
    assert verdicts_beside_the_sweeper[form].holds, f"{verdicts_beside_the_sweeper[form]}"


def test_a_finished_change_that_is_re_executed_does_nothing_and_says_so(site: Site, finished: Ended) -> None:
    run_id = site.reexecute(finished.run.run_id, "ALL_STEPS")

    assert_nothing_is_done(site, finished, run_id)


def test_the_id_of_a_finished_change_in_the_launchpad_does_nothing_and_says_so(site: Site, finished: Ended) -> None:
    run_id = buttons.launch(site, finished.document.id)

    assert_nothing_is_done(site, finished, run_id)


def assert_nothing_is_done(site: Site, finished: Ended, run_id: str) -> None:
    run = site.finished(run_id)
    after = site.evidence(finished.document.id, finished.account)

    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert site.steps(run_id) == ["validate_request"]
    assert "has ended as PROCESSED: nothing to do" in site.told(run_id)
    assert after.calls == finished.evidence.calls
    assert after.audit == finished.evidence.audit
