"""Whatever of Dagster is killed while changes are under way, they come to their end by themselves."""

import pytest

from m2m_pipeline_tests.acceptance.site import Site
from m2m_pipeline_tests.faults.kills import storm

pytestmark = [pytest.mark.xdist_group("acceptance"), pytest.mark.timeout(600)]


def test_no_kill_of_a_run_worker_of_the_daemon_or_of_all_loses_or_doubles_anything(site: Site) -> None:
    with site.sweeping():
        verdicts = storm(site, 1, ("run workers", "daemon", "all of Dagster"))

    for verdict in verdicts:
        assert verdict.holds, f"{verdict}"
