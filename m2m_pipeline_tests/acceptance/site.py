"""All services as `m2m up` runs them, and what a test does with them: accounts, changes, runs, and what they left."""

import csv
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import httpx
import psycopg
from pydantic import BaseModel

from m2m_pipeline.bootstrap import Application
from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.domain.request import parse_request
from m2m_pipeline.domain.status import ENDED_BULK_CHANGES
from m2m_pipeline.services.accounts import ProviderSettings
from m2m_pipeline.services.reporting import ResultDocument
from m2m_pipeline.simulator import documents
from m2m_pipeline.simulator.client import SimulatorControl
from m2m_pipeline_tests.evidence import Evidence, collect

OLD, NEW = "Plan Old", "Plan New"
COMMUNICATION_PLAN = "Comm"
TENANT = "acme"
CANARY = "canary-5ecret"
"""In the API key of every account, so that it can be looked for everywhere."""

ACCOUNTS, DEVICES_EACH = 40, 12
BARRED = "barred"
"""An API user who may not call from this machine."""

ASSET = dg.AssetKey("bulk_changes")
M2M = Path(sys.executable).with_name("m2m")
_PATIENCE = 240.0
"""Of a machine that has other things to do; what is waited for comes within seconds on one that has not."""

_Found = TypeVar("_Found")


def eventually(look: Callable[[], _Found | None], what: str, told: Callable[[], object] = str) -> _Found:
    """What `look` finds, as soon as it finds something; if it never does, `told` says what there is instead."""
    deadline = time.monotonic() + _PATIENCE
    while (found := look()) is None:
        assert time.monotonic() < deadline, f"{what}: not within {_PATIENCE:g} s; {told()}"
        time.sleep(0.1)
    return found


@dataclass(frozen=True, slots=True)
class Account:
    """An account at the carrier with SIMs of its own on OLD, and the service provider that is ours for it."""

    tenant: str
    provider: str
    username: str
    iccids: Sequence[str]


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


class Site:
    """The running services. Every test works on accounts of its own, so that none disturbs another."""

    def __init__(
        self,
        services: Application,
        control: SimulatorControl,
        instance: dg.DagsterInstance,
        environment: Mapping[str, str],
        addresses: tuple[str, str],  # of the carrier, of the Dagster webserver
    ) -> None:
        self.services = services
        self.control = control
        self.instance = instance
        self.environment = environment
        self.carrier_url, self.dagster_url = addresses
        self.state = Path(environment["M2M_STATE_DIR"])
        self._accounts = iter(range(ACCOUNTS))

    def account(self, settings: ProviderSettings | None = None, *, username: str = "", tenant: str = TENANT) -> Account:
        """The next account, with a service provider for it that differs by `settings` from the ordinary one."""
        username = username or _username(next(self._accounts))
        ordinary = ProviderSettings(
            integration_type="POD19",
            base_url=self.carrier_url,
            username=username,
            api_key=_api_key(username),
            calls_per_second=100.0,
            in_flight=5,
            writes_enabled=True,
        )
        given: dict[str, Any] = {} if settings is None else asdict(settings)
        account = Account(tenant, f"att-{username}", username, _iccids(username))
        self._configure(
            account, replace(ordinary, **{name: value for name, value in given.items() if value is not None})
        )
        return account

    def account_without_credential(self) -> Account:
        """The next account, whose key nobody has stored."""
        username = _username(next(self._accounts))
        account = Account(TENANT, f"att-{username}", username, _iccids(username))
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
            output, errors = process.communicate(timeout=_PATIENCE)
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
        what = f"the end of bulk change {bulk_change_id}"
        eventually(lambda: self._over(bulk_change_id), what, lambda: self.story(bulk_change_id))
        return Ended(
            account=account,
            document=self.document(bulk_change_id),
            evidence=self.evidence(bulk_change_id, account),
            runs=self.runs(bulk_change_id),
            materialization=self.materialization(bulk_change_id),
        )

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

    def failures(self, run_id: str) -> Sequence[dg.EventLogEntry]:
        """The events of a run that tell of a failure."""
        kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
        return self.instance.all_logs(run_id, of_type=kinds)

    def evidence(self, bulk_change_id: int, account: Account) -> Evidence:
        """What a bulk change has left behind, the ledger's part reduced to its account."""
        everything = collect(self.environment["M2M_DATABASE_URL"], self.control, bulk_change_id)
        summary, own = everything.summary, set(account.iccids)
        return replace(
            everything,
            calls=[call for call in everything.calls if call.account == account.username],
            changes=[change for change in everything.changes if change.iccid in own],
            summary=summary.model_copy(
                update={
                    "max_calls_in_a_second": _only(summary.max_calls_in_a_second, account.username),
                    "max_in_flight": _only(summary.max_in_flight, account.username),
                }
            ),
        )

    def runs(self, bulk_change_id: int) -> Sequence[dg.RunRecord]:
        """Every run that Dagster has for a bulk change, the first first."""
        return self.instance.get_run_records(
            dg.RunsFilter(tags={"m2m/bulk_change": str(bulk_change_id)}), ascending=True
        )

    def materialization(self, bulk_change_id: int) -> Mapping[str, object]:
        """The metadata of what the catalog shows in the partition of a bulk change; empty where it shows nothing."""
        found = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=ASSET, asset_partitions=[str(bulk_change_id)]), limit=2
        )
        if not found.records:
            return {}
        (record,) = found.records
        assert record.asset_materialization is not None
        return {name: value.value for name, value in record.asset_materialization.metadata.items()}

    def events(self, run_id: str) -> Sequence[dg.EventLogEntry]:
        """The run's whole log."""
        return self.instance.all_logs(run_id)

    def steps(self, run_id: str) -> list[str]:
        """The steps that a run started, in their order."""
        starts = self.instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_START)
        return [str(entry.step_key) for entry in starts]

    def reexecute(self, run_id: str, strategy: str) -> str:
        """Press the button of the Dagster UI: `ALL_STEPS` or `FROM_FAILURE`. The new run's id."""
        answer = self._ask_dagster(_REEXECUTE, run=run_id, strategy=strategy)
        launched = _Launched.model_validate_json(answer).data.launchRunReexecution
        assert launched.run is not None, answer
        return launched.run["id"]

    def start_sweeper(self) -> None:
        """Switch the sweeper on, as in the Dagster UI."""
        assert b"RUNNING" in self._ask_dagster(_START_SENSOR, selector=_SWEEPER)

    def stop_sweeper(self) -> None:
        """Switch the sweeper off: what a test has killed stays dead."""
        (sensor_id,) = re.findall(rb'"id":\s*"([^"]+)"', self._ask_dagster(_SENSOR, selector=_SWEEPER))
        assert b"STOPPED" in self._ask_dagster(_STOP_SENSOR, id=sensor_id.decode())

    def _ask_dagster(self, query: str, **variables: object) -> bytes:
        answer = httpx.post(
            f"{self.dagster_url}/graphql",
            json={"query": query, "variables": variables},
            timeout=60,
            trust_env=False,
        )
        return answer.raise_for_status().content

    def finished(self, run_id: str) -> dg.DagsterRun:
        """Wait for the end of a run."""

        def look() -> dg.DagsterRun | None:
            run = self.instance.get_run_by_id(run_id)
            return run if run is not None and run.is_finished else None

        return eventually(look, f"the end of run {run_id}")

    def next_tick(self) -> None:
        """Wait for a tick of the dispatch sensor that began after this call, and for its end."""
        now = time.time()

        def look() -> bool | None:
            states = self.instance.all_instigator_state()
            (sensor,) = [state for state in states if state.instigator_name == "dispatch_bulk_changes"]
            ticks = self.instance.get_ticks(sensor.instigator_origin_id, sensor.selector_id, limit=3)
            return any(tick.timestamp > now and tick.is_completed for tick in ticks) or None

        eventually(look, "a tick of the sensor")

    def sql(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """Run SQL beside the application; its rows."""
        return query(self.environment["M2M_DATABASE_URL"], statement, *parameters)

    def puts(self, account: Account) -> int:
        """Change calls that the carrier got from an account so far."""
        return sum(call.method == "PUT" and call.account == account.username for call in self.control.calls())


def query(url: str, statement: str, *parameters: object) -> list[tuple[object, ...]]:
    """Run SQL in a database; its rows."""
    with psycopg.connect(_plain(url), autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []


def write_csv(file: Path, iccids: Sequence[str]) -> None:
    """A file as a person saves it."""
    with file.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([["iccid"], *([iccid] for iccid in iccids)])


def carrier_world() -> documents.World:
    """At the carrier: accounts with devices of their own, all on OLD."""
    usernames = [*map(_username, range(ACCOUNTS)), BARRED]
    return documents.World(
        accounts=tuple(
            documents.Account.model_validate(
                {
                    "username": username,
                    "api_key": _api_key(username),
                    "account_id": str(1000 + place),
                    **({"allowed_networks": ["10.0.0.0/8"]} if username == BARRED else {}),
                }
            )
            for place, username in enumerate(usernames)
        ),
        rate_plans=(OLD, NEW),
        communication_plans=(COMMUNICATION_PLAN,),
        devices=tuple(_devices(usernames)),
    )


def _devices(usernames: Sequence[str]) -> Iterator[documents.Device]:
    for username in usernames:
        for iccid in _iccids(username):
            yield documents.Device(iccid=iccid, rate_plan=OLD, communication_plan=COMMUNICATION_PLAN, account=username)


def _username(number: int) -> str:
    return f"api-{number:02}"


def _api_key(username: str) -> str:
    return f"{CANARY}-{username}"


def _iccids(username: str) -> Sequence[str]:
    number = ACCOUNTS if username == BARRED else int(username.removeprefix("api-"))
    return tuple(f"8988216716970{number:02}{device:04}" for device in range(DEVICES_EACH))


def _only(numbers: Mapping[str, int], name: str) -> dict[str, int]:
    return {name: numbers[name]} if name in numbers else {}


def _plain(url: str) -> str:
    return url.replace("+psycopg2", "").replace("+psycopg", "")


_REEXECUTE = """
mutation ($run: String!, $strategy: ReexecutionStrategy!) {
  launchRunReexecution(reexecutionParams: {parentRunId: $run, strategy: $strategy}) {
    ... on LaunchRunSuccess { run { id } }
    ... on PythonError { message }
  }
}"""


_SWEEPER = {
    "repositoryName": "__repository__",
    "repositoryLocationName": "m2m_pipeline",
    "sensorName": "sweep_abandoned_attempts",
}
_SENSOR = "query ($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) { ... on Sensor { id } } }"
_START_SENSOR = """
mutation ($selector: SensorSelector!) {
  startSensor(sensorSelector: $selector) { ... on Sensor { sensorState { status } } ... on PythonError { message } }
}"""
_STOP_SENSOR = """
mutation ($id: String!) {
  stopSensor(id: $id) {
    ... on StopSensorMutationResult { instigationState { status } }
    ... on PythonError { message }
  }
}"""


# The fields have the names of Dagster's GraphQL schema.
class _Reexecution(BaseModel):
    run: dict[str, str] | None = None


class _Data(BaseModel):
    launchRunReexecution: _Reexecution  # noqa: N815


class _Launched(BaseModel):
    data: _Data
