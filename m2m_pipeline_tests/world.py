"""A small world for tests: a carrier simulator on a socket, a fresh database, and the application over both."""

import json
import signal
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import psycopg
from cryptography.fernet import Fernet
from pydantic import SecretStr

from m2m_pipeline.bootstrap import Application, build
from m2m_pipeline.carriers.http import Timeouts
from m2m_pipeline.carriers.registry import CarrierRegistry, build_carrier
from m2m_pipeline.domain.accounts import Credential, ServiceProvider, VerifyMode
from m2m_pipeline.domain.carrier import Carrier, Carriers, DeviceReading
from m2m_pipeline.domain.change import Batch
from m2m_pipeline.domain.problems import Problem, RequestRejectedError
from m2m_pipeline.domain.request import parse_request
from m2m_pipeline.services.accounts import ProviderSettings
from m2m_pipeline.services.reporting import ResultDocument
from m2m_pipeline.services.submission import Recorded
from m2m_pipeline.settings import Settings
from m2m_pipeline.simulator import documents
from m2m_pipeline.simulator.client import SimulatorControl
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.evidence import Evidence, collect, watch_moves

TENANT = "acme"
PROVIDER = "att"
USERNAME, API_KEY = "amop", "amop-5ecret"
OLD, NEW, THIRD = "Plan Old", "Plan New", "Plan Third"
COMM_OLD, COMM_NEW = "Comm Old", "Comm New"
OWNER = "run-1"


def iccids(count: int) -> tuple[str, ...]:
    """The world's first `count` devices."""
    return tuple(f"89882167169700{number:05}" for number in range(count))


@contextmanager
def simulator_process() -> Generator[str]:
    """A simulator of its own; its address."""
    command = [sys.executable, "-m", "m2m_pipeline.simulator"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            announced: dict[str, str] = json.loads(process.stdout.readline())
            yield announced["simulator_url"]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=10)


class QuickCarriers(CarrierRegistry):
    """The registered adapters with time limits that a test can wait for."""

    def __init__(self, read: float = 0.5, total: float = 2.0) -> None:
        self._timeouts = Timeouts(connect=1.0, read=read, total=total)

    def open(self, provider: ServiceProvider, credential: Credential) -> Carrier:
        return build_carrier(
            provider.integration_type, provider.base_url, credential, provider.in_flight, self._timeouts
        )


@dataclass(frozen=True, slots=True)
class Options:
    """What a test wants otherwise."""

    devices: int = 3
    calls_per_second: float = 1000.0
    in_flight: int = 10
    verify: VerifyMode = VerifyMode.PAGES
    writes: bool = True
    settle: float = 0.05
    patience: float = 2.0
    lease: float = 60.0
    probe: float = 0.2
    overlap: Literal["refuse", "wait"] = "refuse"
    pause: float = 0.0


class World:
    """One tenant with one provider, whose devices are all on OLD, in AMOP and at the carrier."""

    def __init__(
        self,
        control: SimulatorControl,
        carrier_url: str,
        database_url: str,
        options: Options,
        carriers: Carriers | None = None,
    ) -> None:
        self.control = control
        self.carrier_url = carrier_url
        self.database_url = database_url
        self.options = options
        self.iccids = iccids(options.devices)
        self.key = Fernet.generate_key().decode()
        self._built: list[Application] = []
        self.services = self.application(carriers=carriers)
        self._populate_carrier()
        self.provider = self.services.accounts.configure(TENANT, PROVIDER, self.provider_settings(), actor="test")
        self.services.accounts.import_plans(self.provider, [OLD, NEW, THIRD], [COMM_OLD, COMM_NEW])
        self.import_devices(self.iccids)
        watch_moves(database_url)

    def application(self, *, keys: Sequence[str] | None = None, carriers: Carriers | None = None) -> Application:
        """The application over this world, as another process would build it."""
        return self.owned(build(self.settings(keys), carriers or QuickCarriers()))

    def owned(self, services: Application) -> Application:
        """The application; its connections end with this world, whatever a test does with it."""
        self._built.append(services)
        return services

    def settings(self, keys: Sequence[str] | None = None) -> Settings:
        """The settings of this world."""
        return Settings(
            database_url=SecretStr(self.database_url),
            encryption_keys=tuple(SecretStr(key) for key in keys or [self.key]),
            lease_seconds=self.options.lease,
            settle_seconds=self.options.settle,
            outage_patience_seconds=self.options.patience,
            probe_seconds=self.options.probe,
            overlap=self.options.overlap,
            attempt_pause_seconds=self.options.pause,
        )

    def close(self) -> None:
        self.services.close()
        for services in self._built:
            services.database.dispose()

    def provider_settings(self) -> ProviderSettings:
        return ProviderSettings(
            integration_type="POD19",
            base_url=self.carrier_url,
            username=USERNAME,
            api_key=API_KEY,
            calls_per_second=self.options.calls_per_second,
            in_flight=self.options.in_flight,
            verify=self.options.verify,
            writes_enabled=self.options.writes,
        )

    def import_devices(self, chosen: Sequence[str], rate_plan: str | None = OLD) -> None:
        """Devices in AMOP's inventory."""
        readings = [DeviceReading(iccid, rate_plan, COMM_OLD) for iccid in chosen]
        self.services.accounts.import_devices(self.provider, readings)

    def trouble(self, rule: Rule) -> int:
        """Put a scenario in force."""
        return self.control.start(rule)

    def submit(self, chosen: Sequence[str] | None = None, /, **fields: object) -> Recorded:
        """Submit a request to move devices (all of them, if left out) to NEW."""
        content = {"provider": PROVIDER, "rate_plan": NEW, "devices": list(self.iccids if chosen is None else chosen)}
        return self.services.submission.submit(TENANT, parse_request({**content, **fields}), "tester")

    def problems(self, **fields: object) -> list[Problem]:
        """What a request with these fields is told when it is rejected."""
        try:
            self.submit(**fields)
        except RequestRejectedError as rejected:
            return list(rejected.problems)
        return []

    def codes(self, **fields: object) -> list[str]:
        """The codes of `problems`."""
        return [problem.code.value for problem in self.problems(**fields)]

    def count(self, table: str) -> object:
        """Rows of one of our tables."""
        return self.sql(f"SELECT count(*) FROM m2m.{table}")[0][0]

    def prepare(self, bulk_change_id: int, owner: str = OWNER) -> Sequence[Batch]:
        """The steps of an attempt before the first device is sent."""
        execution = self.services.execution
        execution.validate_request(bulk_change_id, owner)
        execution.build_change_details(bulk_change_id, owner)
        execution.authenticate_carrier(bulk_change_id, owner)
        return execution.plan_batches(bulk_change_id, owner)

    def drive(self, batch: Batch, owner: str = OWNER, *, read_ahead: bool = False) -> None:
        """The steps of one batch."""
        self.services.execution.change_devices(batch, owner, read_ahead=read_ahead)
        self.services.execution.update_amop(batch, owner)
        self.services.execution.write_audit(batch, owner)

    def run(self, bulk_change_id: int, owner: str = OWNER) -> ResultDocument:
        """A whole attempt, as the job makes it."""
        for batch in self.prepare(bulk_change_id, owner):
            self.drive(batch, owner, read_ahead=True)
        return self.services.execution.finalize(bulk_change_id, owner)

    def half_done(self, rule: Rule) -> int:
        """A bulk change of which one batch of two met the trouble, and which is not at its end."""
        bulk_change_id = self.submit(batch_size=len(self.iccids) // 2).bulk_change_id
        first, _second = self.prepare(bulk_change_id)
        self.trouble(rule)
        self.drive(first)
        return bulk_change_id

    def no_call_counts(self) -> bool:
        """Whether all calls are over, those too that were given up and that the carrier may have been at since."""
        return not self.sql("SELECT 1 FROM m2m.carrier_call WHERE ends_at >= extract(epoch FROM clock_timestamp())")

    def settle(self, passes: int = 3) -> int:
        """Reconciliation as its schedule runs it, until nothing is unknown; how many devices still are."""
        unknown = 0
        for _ in range(passes):
            unknown = self.services.reconciliation.settle(self.provider).unknown
            if not unknown:
                break
        return unknown

    def submit_and_run(
        self, chosen: Sequence[str] | None = None, /, **fields: object
    ) -> tuple[ResultDocument, Evidence]:
        """A request from the door to its end, and what is left of it everywhere."""
        bulk_change_id = self.submit(chosen, **fields).bulk_change_id
        document = self.run(bulk_change_id)
        return document, self.evidence(bulk_change_id)

    def evidence(self, bulk_change_id: int) -> Evidence:
        return collect(self.database_url, self.control, bulk_change_id)

    def sql(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """Run one statement beside the application; its rows."""
        with psycopg.connect(self.database_url.replace("+psycopg", ""), autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def puts(self, iccid: str | None = None) -> int:
        """Change calls in the carrier's ledger (of one device)."""
        return sum(call.method == "PUT" and iccid in {None, call.iccid} for call in self.control.calls())

    def _populate_carrier(self) -> None:
        self.control.replace_world(
            documents.World(
                accounts=(documents.Account(username=USERNAME, api_key=API_KEY),),
                rate_plans=(OLD, NEW, THIRD),
                communication_plans=(COMM_OLD, COMM_NEW),
                devices=tuple(
                    documents.Device(iccid=iccid, rate_plan=OLD, communication_plan=COMM_OLD) for iccid in self.iccids
                ),
            )
        )
