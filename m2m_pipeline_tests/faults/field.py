"""Where faults happen: a carrier with an account for each bulk change, a database, and what heals by itself."""

import signal
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import psycopg
from cryptography.fernet import Fernet
from sqlalchemy import text

from m2m_pipeline.domain.accounts import ServiceProvider
from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.domain.request import parse_request
from m2m_pipeline.domain.status import ENDED_BULK_CHANGES
from m2m_pipeline.services.accounts import ProviderSettings
from m2m_pipeline.simulator import documents
from m2m_pipeline.simulator.client import SimulatorControl
from m2m_pipeline_tests.evidence import Evidence, collect, watch_moves
from m2m_pipeline_tests.faults.points import POINTS
from m2m_pipeline_tests.faults.worker import Errand, Worker, application, attempt
from m2m_pipeline_tests.world import NEW, OLD, TENANT

LEASE_SECONDS = 2.0
"""The shortest that the settings allow."""

COMMUNICATION_PLAN = "Comm"
PATIENCE_SECONDS = 90.0
_LOOK_SECONDS = 0.05

Found = TypeVar("Found")


def eventually(look: Callable[[], Found | None], what: str, seconds: float = PATIENCE_SECONDS) -> Found:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + seconds
    while (found := look()) is None:
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(_LOOK_SECONDS)
    return found


@dataclass
class Change:
    """A bulk change over all devices of an account of its own, and the attempts at it."""

    id: int
    username: str
    iccids: Sequence[str]
    workers: list[Worker] = field(default_factory=list[Worker])  # one for each attempt, the newest last
    attempt: int = 0  # the newest that was dispatched


class Field:
    """One carrier, one database. Every change has an account of its own, so that none waits for another's places."""

    def __init__(
        self,
        control: SimulatorControl,
        carrier_url: str,
        database_url: str,
        accounts: int,
        devices_each: int,
        **settings: str,
    ) -> None:
        self.control = control
        self.carrier_url = carrier_url
        self.database_url = database_url
        self.settings: Mapping[str, str] = {
            "database_url": database_url,
            "encryption_keys": Fernet.generate_key().decode(),
            "lease_seconds": str(LEASE_SECONDS),
            "settle_seconds": "0.05",
            "outage_patience_seconds": "5",
            "probe_seconds": "0.2",
            **settings,
        }
        self.services = application(self.settings)
        self._devices_each = devices_each
        self._numbers = iter(range(accounts))
        control.replace_world(_carrier_world(accounts, devices_each))
        control.set_latency(1, 5)
        watch_moves(database_url)

    @contextmanager
    def lease(self, seconds: float) -> Generator[None]:
        """Attempts that are dispatched meanwhile have leases so long."""
        usual, self.settings = self.settings, {**self.settings, "lease_seconds": str(seconds)}
        try:
            yield
        finally:
            self.settings = usual

    def close(self) -> None:
        """Give the connections back."""
        self.services.close()

    def account(
        self, *, calls_per_second: float = 1000.0, in_flight: int = 10, carrier_url: str = ""
    ) -> tuple[ServiceProvider, Sequence[str]]:
        """The next account, which `carrier_url` may lead to by a detour, and its devices, as AMOP has them."""
        number = next(self._numbers)
        username, iccids = _username(number), _iccids(number, self._devices_each)
        settings = ProviderSettings(
            integration_type="POD19",
            base_url=carrier_url or self.carrier_url,
            username=username,
            api_key=_api_key(username),
            calls_per_second=calls_per_second,
            in_flight=in_flight,
            writes_enabled=True,
        )
        provider = self.services.accounts.configure(TENANT, username, settings, "test")
        self.services.accounts.import_plans(provider, [OLD, NEW], [COMMUNICATION_PLAN])
        self.services.accounts.import_devices(
            provider, [DeviceReading(iccid, OLD, COMMUNICATION_PLAN) for iccid in iccids]
        )
        return provider, iccids

    def submit(
        self, batch_size: int, *, calls_per_second: float = 1000.0, in_flight: int = 10, carrier_url: str = ""
    ) -> Change:
        """Queue a bulk change over the devices of the next account."""
        provider, iccids = self.account(calls_per_second=calls_per_second, in_flight=in_flight, carrier_url=carrier_url)
        request = parse_request(
            {"provider": provider.name, "rate_plan": NEW, "devices": list(iccids), "batch_size": batch_size}
        )
        recorded = self.services.submission.submit(TENANT, request, "tester")
        return Change(recorded.bulk_change_id, provider.name, iccids)

    def dispatch(
        self, change: Change, point: str | None = None, nth: int = 1, number: signal.Signals = signal.SIGKILL
    ) -> Worker:
        """Start the attempt that is queued, as the dispatch sensor would; it is struck at a point, if one is named."""
        _, change.attempt = self.standing(change)
        owner = f"run-{change.id}-{change.attempt}"
        work = partial(attempt, bulk_change_id=change.id, owner=owner)
        worker = Worker(Errand(self.settings, work, POINTS[point] if point else None, nth, number))
        change.workers.append(worker)
        return worker

    def heal(self, change: Change, seconds: float = PATIENCE_SECONDS) -> None:
        """Only what the product does by itself, until the change has ended and no attempt is under way."""
        eventually(lambda: self.step(change), f"the end of bulk change {change.id}", seconds)

    def heal_until(self, change: Change, reached: Callable[[], bool]) -> None:
        """The same, until something is reached or the change has ended."""
        eventually(lambda: self.step(change) or reached() or None, f"a step of bulk change {change.id}")

    def step(self, change: Change) -> bool | None:
        """Do what the product would do by itself now; True where the change has ended and nobody works on it."""
        status, attempt = self.standing(change)
        working = bool(change.workers) and change.workers[-1].alive
        if status in ENDED_BULK_CHANGES:
            return None if working else True
        if status == "PROCESSING":
            list(self.services.sweeping.sweep_leases())
        elif attempt != change.attempt:
            self.dispatch(change)
        elif not working:
            self.services.sweeping.give_up_dispatch(change.id, attempt, "its run ended before it took the bulk change.")
        return None

    def standing(self, change: Change) -> tuple[str, int]:
        """Status of a change, and its newest attempt."""
        statement = text("SELECT status, attempt FROM m2m.bulk_change WHERE id = :id")
        with self.services.database.begin() as tx:  # its pool: a new connection for each look would cost more
            status, attempt = tx.execute(statement, {"id": change.id}).one()
        return str(status), int(attempt)

    def evidence(self, change: Change) -> Evidence:
        """What a change has left behind everywhere."""
        return collect(self.database_url, self.control, change.id).of_account(change.username, change.iccids)

    def puts(self, change: Change, iccid: str | None = None) -> int:
        """Change calls of a change that have reached the carrier (for one device)."""
        return sum(
            call.method == "PUT" and call.account == change.username and iccid in {None, call.iccid}
            for call in self.control.calls()
        )

    def sql(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """Run one statement beside the product; its rows."""
        with psycopg.connect(self.database_url.replace("+psycopg", ""), autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def playing_field(
    control: SimulatorControl, carrier_url: str, database_url: str, accounts: int, devices_each: int, **settings: str
) -> Generator[Field]:
    """A field, whose connections are given back afterwards."""
    made = Field(control, carrier_url, database_url, accounts, devices_each, **settings)
    try:
        yield made
    finally:
        made.close()


def _carrier_world(accounts: int, devices_each: int) -> documents.World:
    return documents.World(
        accounts=tuple(
            documents.Account(username=name, api_key=_api_key(name), account_id=str(1000 + place))
            for place, name in enumerate(map(_username, range(accounts)))
        ),
        rate_plans=(OLD, NEW),
        communication_plans=(COMMUNICATION_PLAN,),
        devices=tuple(
            documents.Device(
                iccid=iccid, rate_plan=OLD, communication_plan=COMMUNICATION_PLAN, account=_username(place)
            )
            for place in range(accounts)
            for iccid in _iccids(place, devices_each)
        ),
    )


def _username(number: int) -> str:
    return f"api-{number:03}"


def _api_key(username: str) -> str:
    return f"5ecret-{username}"


def _iccids(number: int, count: int) -> Sequence[str]:
    return tuple(f"898821671697{number:03}{device:05}" for device in range(count))
