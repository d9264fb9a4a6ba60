"""What is killed is taken up again by itself: nobody does anything."""

import os
import signal
from collections.abc import Generator

import pytest

from m2m_pipeline_tests import invariants
from m2m_pipeline_tests.acceptance.site import Site
from m2m_pipeline_tests.acceptance.test_crash_and_resume import BATCH_SIZE, DEVICES, submit_to_silence, worker_of
from m2m_pipeline_tests.acceptance.waiting import eventually

pytestmark = [pytest.mark.xdist_group("acceptance"), pytest.mark.timeout(600)]


@pytest.fixture
def sweeper(site: Site) -> Generator[None]:
    site.start_sweeper()
    yield
    site.stop_sweeper()


@pytest.mark.usefixtures("sweeper")
def test_a_change_whose_run_was_killed_is_brought_to_its_end_without_a_hand(site: Site) -> None:
    one = submit_to_silence(site)
    eventually(lambda: site.puts(one.account) == BATCH_SIZE or None, "the first batch at the carrier")
    os.kill(worker_of(site, site.runs(one.id)[0].dagster_run.run_id), signal.SIGKILL)
    site.control.stop(one.silence)

    ended = site.ended(one.id, one.account)

    evidence = ended.evidence
    assert ended.document.counts == {"PROCESSED": DEVICES}
    assert ended.document.attempt == 2
    invariants.i2_at_most_one_change_and_no_blind_repeat(evidence)
    invariants.i3_the_status_agrees_with_carrier_and_amop(evidence)
    invariants.i4_every_device_is_audited(evidence)
    invariants.i7_only_legal_transitions(evidence)
