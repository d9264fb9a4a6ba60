"""`m2m up` is stopped, or its database crashes, in the middle of a change: it goes on where it was."""

import json
import os
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest
from sqlalchemy.engine import make_url

from m2m_pipeline.local.postgres import EmbeddedPostgres
from m2m_pipeline.local.state import Addresses, running_services
from m2m_pipeline.services.accounts import ProviderSettings
from m2m_pipeline.simulator.client import SimulatorControl
from m2m_pipeline_tests.acceptance.accounts import DEVICES_EACH, Account, carrier_world
from m2m_pipeline_tests.acceptance.running import SETTINGS, site_at
from m2m_pipeline_tests.acceptance.site import M2M, Ended, Site, query
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
    with slow_carrier() as (carrier_url, control):
        with services_up(state, carrier_url) as (process, site):
            account, bulk_change_id = in_its_middle(site)
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        assert_all_that_was_sent_is_known(state, control, database_of(site), account, bulk_change_id)

        control.set_latency(0, 0)
        with services_up(state, carrier_url) as (_, again):
            ended = again.ended(bulk_change_id, account)
        assert_each_device_was_changed_once(ended)


def test_a_crash_of_the_database_under_the_services_is_survived_and_ctrl_c_stops_them_in_order(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with slow_carrier() as (carrier_url, control), services_up(state, carrier_url) as (process, site):
        account, bulk_change_id = in_its_middle(site)
        crashed = postmaster(state)
        os.kill(crashed, signal.SIGQUIT)  # `pg_ctl stop -m immediate`; the services start it again
        eventually(lambda: is_back(site, crashed) or None, "the database")
        control.set_latency(0, 0)
        assert_each_device_was_changed_once(site.ended(bulk_change_id, account))

        control.set_latency(SLOW_MILLISECONDS, SLOW_MILLISECONDS)
        account, bulk_change_id = in_its_middle(site)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
        assert_all_that_was_sent_is_known(state, control, database_of(site), account, bulk_change_id)


@contextmanager
def slow_carrier() -> Generator[tuple[str, SimulatorControl]]:
    """A carrier that outlives the services, and answers slowly."""
    with simulator_process() as url, SimulatorControl(url) as control:
        control.replace_world(carrier_world())
        control.set_latency(SLOW_MILLISECONDS, SLOW_MILLISECONDS)
        yield url, control


def in_its_middle(site: Site) -> tuple[Account, int]:
    """A bulk change of which some devices have been sent."""
    account = site.account(ProviderSettings(in_flight=IN_FLIGHT))
    bulk_change_id = site.submit(account, account.iccids, batch_size=4)
    eventually(lambda: site.puts(account) > IN_FLIGHT or None, "its calls", lambda: site.story(bulk_change_id))
    return account, bulk_change_id


def assert_all_that_was_sent_is_known(
    state: Path, control: SimulatorControl, database: str, account: Account, bulk_change_id: int
) -> None:
    """Nothing runs any more; what was sent has its outcome, what was not is PENDING, and the lease is free."""
    assert not living(state)
    sent = {call.iccid for call in control.calls() if call.method == "PUT"} & set(account.iccids)
    assert 0 < len(sent) < DEVICES_EACH

    with EmbeddedPostgres(state / "postgres", durable=False) as server:
        url = server.url(database)
        standing = "SELECT status, lease_owner FROM m2m.bulk_change WHERE id = %s"
        assert query(url, standing, bulk_change_id) == [("PROCESSING", None)]
        devices = "SELECT iccid, status FROM m2m.device_change WHERE bulk_change_id = %s"
        rows = query(url, devices, bulk_change_id)
        assert {status for iccid, status in rows if iccid not in sent} == {"PENDING"}
        assert {status for iccid, status in rows if iccid in sent} <= {"APPLIED", "PROCESSED"}
        assert query(url, "SELECT count(*) FROM m2m.carrier_call") == [(0,)]


def assert_each_device_was_changed_once(ended: Ended) -> None:
    """By the carrier's ledger."""
    assert ended.document.counts == {"PROCESSED": DEVICES_EACH}
    assert len(ended.evidence.puts()) == DEVICES_EACH
    verdict = judge("interrupted", ended.evidence, 1)
    assert verdict.holds, f"{verdict}"


def postmaster(state: Path) -> int:
    """The process id of the services' PostgreSQL."""
    return int((state / "postgres" / "cluster" / "postmaster.pid").read_text(encoding="ascii").split()[0])


def is_back(site: Site, crashed: int) -> bool:
    """Whether another PostgreSQL than the one that crashed answers."""
    with suppress(OSError, IndexError, psycopg.OperationalError):
        return postmaster(site.state) != crashed and bool(site.sql("SELECT 1"))
    return False


def database_of(site: Site) -> str:
    """The name of the business database."""
    return make_url(site.environment["M2M_DATABASE_URL"]).database or ""


def living(state: Path) -> list[psutil.Process]:
    """The processes that were started for this state directory, and have not ended."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("M2M_STATE_DIR") == str(state):
                found.append(process)
    return found
