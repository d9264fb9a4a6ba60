"""One account on the stand with its databases: bulk changes submitted, run and read out."""

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from cryptography.fernet import Fernet
from pydantic import SecretStr

from benchmarks.child import Child
from benchmarks.fleet import API_KEY, COMMUNICATION_PLAN, NEW, OLD, USERNAME, iccids
from benchmarks.measurement import InvalidRunError
from benchmarks.sql import rows
from benchmarks.stand import Cost, Stand
from m2m_pipeline.bootstrap import Application, build
from m2m_pipeline.domain.accounts import ServiceProvider
from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.domain.request import parse_request
from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline.services.accounts import ProviderSettings
from m2m_pipeline.settings import Settings
from m2m_pipeline.simulator.documents import LedgerCall

TENANT, PROVIDER = "bench", "bench"
_CHUNK = 10_000


@dataclass(frozen=True, slots=True)
class Account:
    """The account of a measurement: its SIMs, its limits (calls/s, calls), and how long the carrier takes (ms)."""

    devices: int
    calls_per_second: float
    in_flight: int
    latency_ms: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Submitted:
    """A queued bulk change."""

    id: int
    devices: int
    seconds: float  # from the request to its commit


class Site:
    """The account, seen from the application."""

    def __init__(
        self, stand: Stand, account: Account, services: Application, provider: ServiceProvider, env: Mapping[str, str]
    ) -> None:
        self.stand = stand
        self.account = account
        self.environment = env
        self._services = services
        self._provider = provider

    def import_devices(self) -> float:
        """Load the fleet into AMOP's inventory; seconds that it took."""
        began = time.monotonic()
        for first in range(0, self.account.devices, _CHUNK):
            chosen = iccids(first, min(_CHUNK, self.account.devices - first))
            readings = [DeviceReading(one, OLD, COMMUNICATION_PLAN) for one in chosen]
            self._services.accounts.import_devices(self._provider, readings)
        return time.monotonic() - began

    def submit(self, devices: Sequence[str]) -> Submitted:
        """Have these devices moved to the new plan."""
        began = time.monotonic()
        request = parse_request({"provider": PROVIDER, "rate_plan": NEW, "devices": list(devices)})
        recorded = self._services.submission.submit(TENANT, request, "bench")
        return Submitted(recorded.bulk_change_id, len(devices), time.monotonic() - began)

    def worker(self) -> Child:
        """A process that will run a bulk change of this site."""
        return self.stand.child("benchmarks.change", "", self.environment)

    def run(self, changes: Sequence[Submitted], patience: float) -> list[Cost]:
        """Run the bulk changes to their end, each in a process of its own, all at once.

        Raises InvalidRunError unless every device of each was changed, once.
        """
        children = [self.worker() for _ in changes]
        try:
            for child in children:
                child.await_ready()
            costs = self.stand.cost(children, [str(change.id) for change in changes], patience)
        finally:
            for child in children:
                child.close()
        for change in changes:
            self.check(change)
        return costs

    def check(self, change: Submitted) -> None:
        """Raise InvalidRunError unless the bulk change moved all its devices, and the carrier says the same."""
        document = self._services.reporting.document(TENANT, change.id)
        if document.status is not BulkChangeStatus.PROCESSED:
            raise InvalidRunError(f"bulk change {change.id} ended {document.status}: {document.counts}")
        if twice := self.stand.control.summary().changed_more_than_once:
            raise InvalidRunError(f"{len(twice)} devices were changed more than once")

    def calls(self) -> list[LedgerCall]:
        """The calls of the account at the carrier, in order."""
        return [call for call in self.stand.control.calls() if call.account == USERNAME]

    def dagster(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """Read Dagster's tables."""
        return rows(self.environment["M2M_DAGSTER_DATABASE_URL"], statement, *parameters)

    def business(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """Read ours."""
        return rows(self.environment["M2M_DATABASE_URL"], statement, *parameters)


@contextmanager
def site(stand: Stand, account: Account) -> Generator[Site]:
    """An account with fresh databases; its devices are at the carrier, and not yet in the inventory."""
    stand.carrier(account.devices, account.latency_ms)
    key = Fernet.generate_key().decode()
    environment = {**stand.databases(), "M2M_ENCRYPTION_KEYS": key}
    services = build(
        Settings(
            database_url=SecretStr(environment["M2M_DATABASE_URL"]),
            encryption_keys=(SecretStr(key),),
        )
    )
    try:
        provider = services.accounts.configure(TENANT, PROVIDER, _settings(stand, account), actor="bench")
        services.accounts.import_plans(provider, [OLD, NEW], [COMMUNICATION_PLAN])
        yield Site(stand, account, services, provider, environment)
    finally:
        services.close()


def _settings(stand: Stand, account: Account) -> ProviderSettings:
    return ProviderSettings(
        integration_type="POD19",
        base_url=stand.carrier_url,
        username=USERNAME,
        api_key=API_KEY,
        calls_per_second=account.calls_per_second,
        in_flight=account.in_flight,
        writes_enabled=True,
    )
