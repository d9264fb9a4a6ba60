"""The front door as it is shipped, `m2m serve` in a process of its own, before a tenant with a long past."""

import os
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
from cryptography.fernet import Fernet
from pydantic import SecretStr

from benchmarks.fleet import API_KEY, COMMUNICATION_PLAN, NEW, OLD, USERNAME, iccids
from benchmarks.launching import start
from benchmarks.measurement import InvalidRunError
from benchmarks.planting import Past, plant
from benchmarks.slowest import QueryLog
from benchmarks.stand import PROJECT, Stand
from m2m_pipeline.bootstrap import build
from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.domain.permissions import Role
from m2m_pipeline.local.children import end_group, tail
from m2m_pipeline.local.ports import LOOPBACK, free_port
from m2m_pipeline.services.accounts import ProviderSettings
from m2m_pipeline.settings import Settings

TENANT, PROVIDER = "bench", "bench"
PATIENCE_SECONDS = 60.0
_COMMAND = "from m2m_pipeline.cli import main; main()"
_CHUNK = 10_000


@dataclass(frozen=True, slots=True)
class FrontDoor:
    """A running front door, the keys that it knows, and what its database logs."""

    url: str
    keys: list[str]
    queries: QueryLog

    def client(self, number: int = 0) -> httpx.Client:
        """A client with the key of that number."""
        headers = {"Authorization": f"Bearer {self.keys[number]}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE_SECONDS, trust_env=False)


@contextmanager
def front_door(stand: Stand, past: Past, clients: int) -> Generator[FrontDoor]:
    """The front door, ready, with a key for each of `clients`. Raises InvalidRunError if it does not become ready."""
    environment = stand.databases()
    key = Fernet.generate_key().decode()
    url = environment["M2M_DATABASE_URL"]
    services = build(Settings(database_url=SecretStr(url), encryption_keys=(SecretStr(key),)))
    try:
        settings = ProviderSettings(
            integration_type="POD19",
            base_url=stand.carrier_url,
            username=USERNAME,
            api_key=API_KEY,
            writes_enabled=True,
        )
        provider = services.accounts.configure(TENANT, PROVIDER, settings, actor="bench")
        services.accounts.import_plans(provider, [OLD, NEW], [COMMUNICATION_PLAN])
        for first in range(0, past.fleet, _CHUNK):
            chosen = iccids(first, min(_CHUNK, past.fleet - first))
            services.accounts.import_devices(provider, [DeviceReading(one, OLD, COMMUNICATION_PLAN) for one in chosen])
        names = [f"client-{number}" for number in range(clients)]
        keys = [services.identity.create_key(TENANT, name, Role.OPERATOR, "bench").secret for name in names]
    finally:
        services.close()
    plant(url, provider, past)
    queries = QueryLog(url, stand.postgres.log, provider.tenant_id)
    queries.switch_on()
    with _serve(stand, {**environment, "M2M_ENCRYPTION_KEYS": key}) as address:
        yield FrontDoor(address, keys, queries)


@contextmanager
def _serve(stand: Stand, environment: dict[str, str]) -> Generator[str]:
    port, log = free_port(), stand.folder / "serve.log"
    address = f"http://{LOOPBACK}:{port}"
    with start(
        ["-c", _COMMAND, "serve", "--port", str(port)],
        log=log,
        environment={**os.environ, **environment},
        death_signal=signal.SIGTERM,
        cwd=PROJECT,
    ) as process:
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not _is_ready(address):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise InvalidRunError(f"m2m serve did not become ready:\n{tail(log)}")
                time.sleep(0.05)
            yield address
        finally:
            end_group(process)


def _is_ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/readyz", trust_env=False).is_success
    except httpx.TransportError:
        return False
