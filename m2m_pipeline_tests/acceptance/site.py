"""All services as `m2m up` runs them, and what a test does with them: accounts, changes, runs, and what they left."""

import csv
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg

from m2m_pipeline.bootstrap import Application
from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.domain.request import parse_request
from m2m_pipeline.domain.status import ENDED_BULK_CHANGES
from m2m_pipeline.local.state import Addresses
from m2m_pipeline.services.accounts import ProviderSettings
from m2m_pipeline.services.reporting import ResultDocument
from m2m_pipeline.simulator.client import SimulatorControl
from m2m_pipeline_tests.acceptance.accounts import (
    ACCOUNTS,
    COMMUNICATION_PLAN,
    NEW,
    OLD,
    TENANT,
    Account,
    api_key_of,
    iccids_of,
    username_of,
)
from m2m_pipeline_tests.acceptance.platform import Platform
from m2m_pipeline_tests.acceptance.waiting import PATIENCE, eventually
from m2m_pipeline_tests.evidence import Evidence, collect

M2M = Path(sys.executable).with_name("m2m")


@dataclass(frozen=True, slots=True)
class Ended:
    """A bulk change after its end, as everybody saw it."""

    account: Account
    document: ResultDocument
    evidence: Evidence  # the ledger's part is this account's alone
    runs: Sequence[dg.RunRecord]
    materialization: Mapping[str, object]  # metadata of the catalog's entry

    @property
    def run(self) -> dg.DagsterRun:
        """The only run that there was."""
        (record,) = self.runs
        return record.dagster_run

    def status(self, iccid: str) -> str:
        """How a device ended."""
        return self.evidence.row(iccid).status

    def carrier_plan(self, iccid: str) -> str:
        """Where the carrier has a device now."""
        return self.evidence.carrier[iccid].rate_plan

    def amop_plan(self, iccid: str) -> str | None:
        """Where AMOP has a device now."""
        return self.evidence.amop[iccid][0]


class Site(Platform):
    """The running services. Every test works on accounts of its own, so that none disturbs another."""

    def __init__(
        self,
        services: Application,
        control: SimulatorControl,
        instance: dg.DagsterInstance,
        environment: Mapping[str, str],
        addresses: Addresses,
    ) -> None:
        self.services = services
        self.control = control
        self.environment = environment
        assert addresses.simulator_url
        self.carrier_url, self.page_url = addresses.simulator_url, addresses.api_url
        super().__init__(instance, addresses.dagster_url)
        self.state = Path(environment["M2M_STATE_DIR"])
        self._accounts = iter(range(ACCOUNTS))

    def account(self, settings: ProviderSettings | None = None, *, username: str = "", tenant: str = TENANT) -> Account:
        """The next account, with a service provider for it that differs by `settings` from the ordinary one."""
        username = username or username_of(next(self._accounts))
        ordinary = ProviderSettings(
            integration_type="POD19",
            base_url=self.carrier_url,
            username=username,
            api_key=api_key_of(username),
            calls_per_second=100.0,
            in_flight=5,
            writes_enabled=True,
        )
        given: dict[str, Any] = {} if settings is None else asdict(settings)
        account = Account(tenant, f"att-{username}", username, iccids_of(username))
        self._configure(
            account, replace(ordinary, **{name: value for name, value in given.items() if value is not None})
        )
        return account

    def account_without_credential(self) -> Account:
        """The next account, whose key nobody has stored."""
        username = username_of(next(self._accounts))
        account = Account(TENANT, f"att-{username}", username, iccids_of(username))
        settings = ProviderSettings(integration_type="POD19", base_url=self.carrier_url, writes_enabled=True)
        self._configure(account, settings)
        return account

    def _configure(self, account: Account, settings: ProviderSettings) -> None:
        provider = self.services.accounts.configure(account.tenant, account.provider, settings, "test")
        self.services.accounts.import_plans(provider, [OLD, NEW], [COMMUNICATION_PLAN])
        readings = [DeviceReading(iccid, OLD, COMMUNICATION_PLAN) for iccid in account.iccids]
        self.services.accounts.import_devices(provider, readings)

    def submit(self, account: Account, iccids: Sequence[str], **fields: object) -> int:
        """A request to move devices of the account to NEW, through the service; its id."""
        content = {"provider": account.provider, "rate_plan": NEW, "devices": list(iccids), **fields}
        return self.services.submission.submit(account.tenant, parse_request(content), "test").bulk_change_id

    def submit_command(self, account: Account, file: Path, iccids: Sequence[str], *options: str) -> list[str]:
        """The command that submits a CSV of devices to be moved to NEW."""
        write_csv(file, iccids)
        names = ("--tenant", account.tenant, "--provider", account.provider, "--rate-plan", NEW)
        return ["submit", str(file), *names, *options]

    def start_command(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `m2m …` as somebody types it, who knows nothing of the services but their state directory."""
        return subprocess.Popen(
            [M2M, *arguments],
            env={**os.environ, "M2M_STATE_DIR": str(self.state)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`m2m …` to its end."""
        with self.start_command(*arguments) as process:
            output, errors = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def document(self, bulk_change_id: int) -> ResultDocument:
        """The result document as it is now."""
        return self.services.reporting.document(self.tenant_of(bulk_change_id), bulk_change_id)

    def tenant_of(self, bulk_change_id: int) -> str:
        """Whose bulk change it is."""
        ((tenant,),) = self.sql(
            "SELECT t.name FROM m2m.tenant t JOIN m2m.bulk_change b ON b.tenant_id = t.id WHERE b.id = %s",
            bulk_change_id,
        )
        return str(tenant)

    def ended(self, bulk_change_id: int, account: Account) -> Ended:
        """Wait for the end of a bulk change and of its runs; what they left behind."""
        self.wait_for_end(bulk_change_id)
        return Ended(
            account=account,
            document=self.document(bulk_change_id),
            evidence=self.evidence(bulk_change_id, account),
            runs=self.runs(bulk_change_id),
            materialization=self.materialization(bulk_change_id),
        )

    def wait_for_end(self, bulk_change_id: int) -> None:
        """Wait for the end of a bulk change and of its runs."""
        what = f"the end of bulk change {bulk_change_id}"
        eventually(lambda: self._over(bulk_change_id), what, lambda: self.story(bulk_change_id))

    def _over(self, bulk_change_id: int) -> bool | None:
        if self.document(bulk_change_id).status not in ENDED_BULK_CHANGES:
            return None
        return all(record.dagster_run.is_finished for record in self.runs(bulk_change_id)) or None

    def story(self, bulk_change_id: int) -> str:
        """How far a bulk change is, and what its runs came to: for whoever reads why a test has failed."""
        runs = [
            f"run {record.dagster_run.run_id} {record.dagster_run.status}: {failures or 'no failure'}"
            for record in self.runs(bulk_change_id)
            for failures in [[str(entry.dagster_event) for entry in self.failures(record.dagster_run.run_id)]]
        ]
        return "\n".join([str(self.document(bulk_change_id)), *runs])

    def evidence(self, bulk_change_id: int, account: Account) -> Evidence:
        """What a bulk change has left behind, the ledger's part reduced to its account."""
        everything = collect(self.environment["M2M_DATABASE_URL"], self.control, bulk_change_id)
        return everything.of_account(account.username, account.iccids)

    def sql(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """Run SQL beside the application; its rows."""
        return query(self.environment["M2M_DATABASE_URL"], statement, *parameters)

    def puts(self, account: Account, iccid: str | None = None) -> int:
        """Change calls that the carrier got from an account so far (for one device)."""
        return sum(
            call.method == "PUT" and call.account == account.username and iccid in {None, call.iccid}
            for call in self.control.calls()
        )


def query(url: str, statement: str, *parameters: object) -> list[tuple[object, ...]]:
    """Run SQL in a database; its rows."""
    with psycopg.connect(_plain(url), autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []


def write_csv(file: Path, iccids: Sequence[str]) -> None:
    """A file as a person saves it."""
    with file.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([["iccid"], *([iccid] for iccid in iccids)])


def _plain(url: str) -> str:
    return url.replace("+psycopg2", "").replace("+psycopg", "")
