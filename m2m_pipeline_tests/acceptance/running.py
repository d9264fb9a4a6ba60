"""A site to run: the services as `m2m up` starts them, with times that a test can wait for."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from m2m_pipeline.bootstrap import build
from m2m_pipeline.local.services import LocalOptions, LocalServices
from m2m_pipeline.local.state import Addresses
from m2m_pipeline.settings import load_settings
from m2m_pipeline.simulator.client import SimulatorControl
from m2m_pipeline_tests.acceptance.accounts import carrier_world
from m2m_pipeline_tests.acceptance.site import Site
from m2m_pipeline_tests.evidence import watch_moves

SETTINGS = {
    "M2M_SETTLE_SECONDS": "0.3",
    "M2M_OUTAGE_PATIENCE_SECONDS": "6",
    "M2M_LEASE_SECONDS": "4",
    "M2M_ATTEMPT_PAUSE_SECONDS": "2",
    "M2M_SWEEP_INTERVAL_SECONDS": "5",
    # Whatever the time of day is: a test that wants a schedule starts its job.
    "M2M_RECONCILE_CRON": "0 0 1 1 *",
    "M2M_CHECK_CRON": "0 0 1 1 *",
    "M2M_AUDIT_DIGEST_CRON": "0 0 1 1 *",
}


@contextmanager
def running_site(state: Path, settings: Mapping[str, str] | None = None) -> Generator[Site]:
    """PostgreSQL, the carrier simulator, Dagster's webserver and daemon; the sweeper is switched off."""
    options = LocalOptions(state_dir=state, durable=False)
    with (
        _environment({**SETTINGS, **(settings or {})}),
        LocalServices(options) as local,
        site_at(local.environment, local.addresses) as site,
    ):
        site.control.replace_world(carrier_world())
        site.stop_sweeper()
        yield site


@contextmanager
def site_at(environment: Mapping[str, str], addresses: Addresses) -> Generator[Site]:
    """Services that run already."""
    assert addresses.simulator_url
    services = build(load_settings(environment))
    with SimulatorControl(addresses.simulator_url) as control, _instance(environment) as instance:
        watch_moves(environment["M2M_DATABASE_URL"])
        yield Site(services, control, instance, environment, addresses)
    services.close()


@contextmanager
def _environment(variables: Mapping[str, str]) -> Generator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("M2M_DATABASE_URL", raising=False)
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


@contextmanager
def _instance(environment: Mapping[str, str]) -> Generator[dg.DagsterInstance]:
    """Dagster's own records."""
    with _environment(environment):
        instance = dg.DagsterInstance.from_config(environment["DAGSTER_HOME"])
    with instance:
        yield instance
