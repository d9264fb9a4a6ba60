"""The demo from start to end, as a newcomer watches it."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from m2m_pipeline.bootstrap import Application, build
from m2m_pipeline.demo.check import differences
from m2m_pipeline.demo.fleet import RATE_PLAN, UNKNOWN_AT_THE_CARRIER, Fleet, plan_fleet
from m2m_pipeline.display import follow, print_document
from m2m_pipeline.domain.accounts import VerifyMode
from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.domain.request import parse_request
from m2m_pipeline.local.services import LocalOptions, LocalServices
from m2m_pipeline.local.signals import StopSignals
from m2m_pipeline.services.accounts import ProviderSettings
from m2m_pipeline.services.tables import read_table
from m2m_pipeline.settings import load_settings
from m2m_pipeline.simulator.client import SimulatorControl
from m2m_pipeline.simulator.fleet import API_KEY, USERNAME

PROVIDER = "att-pod19"
TENANT = "default"
CALLS_PER_SECOND = 50
IN_FLIGHT = 5
# Ten times the speed of a usual account, so that nobody waits; the network is as slow as the real one.
SIMULATOR = (
    *("--devices", "300", "--seed", "19", "--latency-ms", "20:60"),
    *("--calls-per-second", str(CALLS_PER_SECOND), "--in-flight", str(IN_FLIGHT)),
)


def run() -> bool:
    """Run the demo; whether each device ended as the carrier's ledger shows.

    Raises:
        LocalServiceError: a service did not start.
        StopRequested: somebody stopped it; no process is left.

    """
    began = time.monotonic()
    StopSignals()
    with tempfile.TemporaryDirectory(prefix="m2m-demo-") as folder:
        _say("Starting PostgreSQL, the carrier simulator, Dagster, the page and the HTTP API …")
        options = LocalOptions(state_dir=Path(folder) / "state", simulator_arguments=SIMULATOR, durable=False)
        with LocalServices(options) as local:
            _say(f"  Dagster UI         {local.addresses.dagster_url}")
            _say(f"  page, HTTP API     {local.addresses.api_url}")
            _say(f"  carrier simulator  {local.addresses.simulator_url}")
            services = build(load_settings(local.environment))
            assert local.addresses.simulator_url
            with SimulatorControl(local.addresses.simulator_url) as carrier:
                faults = _play(services, carrier, local.addresses.simulator_url, Path(folder) / "sims.csv")
            services.close()
            _say(f"Dagster UI: {local.addresses.dagster_url} (`make up` keeps it running)")
        for fault in faults:
            _say(f"NOT TRUE: {fault}")
        if not faults:
            _say("Every outcome is the one that the carrier's own ledger shows.")
        _say(f"All services are stopped. {time.monotonic() - began:.0f} s.")
    return not faults


def _play(services: Application, carrier: SimulatorControl, url: str, file: Path) -> list[str]:
    fleet = _load(services, carrier, url)
    file.write_text("\n".join(["iccid", *fleet.lines]) + "\n")
    request = parse_request(
        {
            "provider": PROVIDER,
            "rate_plan": RATE_PLAN,
            "devices": [row["iccid"] for row in read_table(file, ["iccid"])],
            "invalid_rows": "skip",
        }
    )
    _say(f'Submitting a CSV of {len(fleet.lines)} SIMs to be moved to "{RATE_PLAN}" …')
    recorded = services.submission.submit(TENANT, request, "demo")
    print_document(follow(lambda: services.reporting.document(TENANT, recorded.bulk_change_id), quiet=False))
    rows = list(services.reporting.rows(TENANT, recorded.bulk_change_id))
    return differences(fleet, rows, carrier.changes(), carrier.devices())


def _load(services: Application, carrier: SimulatorControl, url: str) -> Fleet:
    """An account at the simulated carrier, its inventory, and the trouble to come."""
    settings = ProviderSettings(
        integration_type="POD19",
        base_url=url,
        username=USERNAME,
        api_key=API_KEY,
        calls_per_second=CALLS_PER_SECOND,
        in_flight=IN_FLIGHT,
        verify=VerifyMode.PAGES,
        writes_enabled=True,
    )
    provider = services.accounts.configure(TENANT, PROVIDER, settings, "demo")
    seen, _ = asyncio.run(services.accounts.sync(provider, lambda _: None))
    # SIMs that AMOP still lists and the carrier no longer has.
    gone = [DeviceReading(iccid, "M2M 1MB Pooled", "CP_Basic_ON") for iccid in UNKNOWN_AT_THE_CARRIER]
    services.accounts.import_devices(provider, gone)
    _say(f"Loaded the inventory of {PROVIDER} from the carrier: {seen} devices.")
    fleet = plan_fleet(carrier.devices())
    for rule in fleet.trouble:
        carrier.start(rule)
    return fleet


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
