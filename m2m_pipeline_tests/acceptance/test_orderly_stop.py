"""`m2m up` is stopped in the middle of a change, and started again: the change goes on where it was."""

import json
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from sqlalchemy.engine import make_url

from m2m_pipeline.local.postgres import EmbeddedPostgres
from m2m_pipeline.local.state import Addresses, running_services
from m2m_pipeline.services.accounts import ProviderSettings
from m2m_pipeline.simulator.client import SimulatorControl
from m2m_pipeline_tests.acceptance.accounts import DEVICES_EACH, carrier_world
from m2m_pipeline_tests.acceptance.running import SETTINGS, site_at
from m2m_pipeline_tests.acceptance.site import M2M, Site, query
from m2m_pipeline_tests.acceptance.waiting import PATIENCE, eventually
from m2m_pipeline_tests.environment import inherited
from m2m_pipeline_tests.faults.verdict import judge
from m2m_pipeline_tests.world import simulator_process

pytestmark = [pytest.mark.xdist_group("acceptance"), pytest.mark.timeout(600)]

IN_FLIGHT = 2
SLOW_MILLISECONDS = 2000.0
"""Of each call: a run is in the middle of one at any time, and twelve devices take it long enough for a stop."""


@contextmanager
def services_up(state: Path, carrier_url: str) -> Generator[tuple[subprocess.Popen[str], Site]]:
    """`m2m up` as a process, with a carrier that is elsewhere."""
    command = [M2M, "up", "--no-simulator", "--json"]
    environment = {**inherited(), **SETTINGS, "M2M_STATE_DIR": str(state)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            addresses: dict[str, str] = json.loads(process.stdout.readline())
            elsewhere = Addresses(**addresses, simulator_url=carrier_url)
            running = running_services(state)
            assert running is not None
            with site_at(running.environment, elsewhere) as site:
                yield process, site
        finally:
            process.kill()


def test_a_change_that_is_stopped_with_the_services_goes_on_with_them_and_sends_each_device_once(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    with simulator_process() as carrier_url, SimulatorControl(carrier_url) as control:
        control.replace_world(carrier_world())
        control.set_latency(SLOW_MILLISECONDS, SLOW_MILLISECONDS)
        with services_up(state, carrier_url) as (process, site):
            account = site.account(ProviderSettings(in_flight=IN_FLIGHT))
            bulk_change_id = site.submit(account, account.iccids, batch_size=4)
            eventually(lambda: site.puts(account) > IN_FLIGHT or None, "its calls", lambda: site.story(bulk_change_id))
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        assert not living(state)
        sent = {call.iccid for call in control.calls() if call.method == "PUT"}
        assert 0 < len(sent) < DEVICES_EACH

        with EmbeddedPostgres(state / "postgres", durable=False) as server:
            database = server.url(make_url(site.environment["M2M_DATABASE_URL"]).database or "")
            assert query(database, "SELECT status, lease_owner FROM m2m.bulk_change") == [("PROCESSING", None)]
            rows = query(database, "SELECT iccid, status FROM m2m.device_change")
            assert {status for iccid, status in rows if iccid not in sent} == {"PENDING"}
            assert {status for iccid, status in rows if iccid in sent} <= {"APPLIED", "PROCESSED"}
            assert query(database, "SELECT count(*) FROM m2m.carrier_call") == [(0,)]

        control.set_latency(0, 0)
        with services_up(state, carrier_url) as (_, again):
            ended = again.ended(bulk_change_id, account)
        assert ended.document.counts == {"PROCESSED": DEVICES_EACH}
        assert len(ended.evidence.puts()) == DEVICES_EACH
        verdict = judge("stopped and started again", ended.evidence, 1)
        assert verdict.holds, verdict


def living(state: Path) -> list[psutil.Process]:
    """The processes that were started for this state directory, and have not ended."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("M2M_STATE_DIR") == str(state):
                found.append(process)
    return found
