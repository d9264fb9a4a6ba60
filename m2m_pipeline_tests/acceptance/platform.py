"""Dagster as somebody in its UI sees it: runs, events, catalog, and the buttons."""

import re
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import dagster as dg
import httpx
from dagster._core.scheduler.instigation import InstigatorState
from pydantic import BaseModel

from m2m_pipeline_tests.acceptance.waiting import eventually

ASSET = dg.AssetKey("bulk_changes")


class Platform:
    """The Dagster of a site."""

    def __init__(self, instance: dg.DagsterInstance, url: str) -> None:
        self.instance = instance
        self.dagster_url = url

    def failures(self, run_id: str) -> Sequence[dg.EventLogEntry]:
        """The events of a run that tell of a failure."""
        kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
        return self.instance.all_logs(run_id, of_type=kinds)

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

    def shown_end(self, bulk_change_id: int) -> object:
        """The status with which the catalog shows the end of a bulk change; None where it lacks that, or its audit."""
        partition = [str(bulk_change_id)]
        latest = [
            self.instance.fetch_materializations(dg.AssetRecordsFilter(asset_key=asset, asset_partitions=partition), 1)
            for asset in (ASSET, dg.AssetKey("audit_trail"))
        ]
        ends = [one.records[0].asset_materialization for one in latest if one.records]
        return ends[0].metadata["status"].value if len(ends) == len(latest) and ends[0] else None

    def events(self, run_id: str) -> Sequence[dg.EventLogEntry]:
        """The run's whole log."""
        return self.instance.all_logs(run_id)

    def told(self, run_id: str) -> str:
        """Everything that a run's log says."""
        return "\n".join(f"{entry.message}\n{entry.dagster_event}" for entry in self.events(run_id))

    def diary(self, run_id: str) -> str:
        """Everything that a run's log says, and when: for whoever reads why a test has failed."""
        return "\n".join(
            f"{datetime.fromtimestamp(entry.timestamp, UTC):%T.%f} {entry.message or entry.dagster_event}"
            for entry in self.events(run_id)
        )

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
        """Switch the sweeper off: what a test has killed stays dead.

        A tick that begins or ends in this moment writes back that it is on, as it has read just before.
        """
        (sensor_id,) = re.findall(rb'"id":\s*"([^"]+)"', self._ask_dagster(_SENSOR, selector=_SWEEPER))
        while True:
            assert b"STOPPED" in self._ask_dagster(_STOP_SENSOR, id=sensor_id.decode())
            self.next_tick()
            sweeper = self._sensor(_SWEEPER["sensorName"])
            if sweeper is not None and not sweeper.is_running:
                return

    @contextmanager
    def sweeping(self) -> Generator[None]:
        """With the sweeper switched on, as it is shipped."""
        self.start_sweeper()
        try:
            yield
        finally:
            self.stop_sweeper()

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
            sensor = self._sensor("dispatch_bulk_changes")
            if sensor is None:  # the daemon has just begun
                return None
            ticks = self.instance.get_ticks(sensor.instigator_origin_id, sensor.selector_id, limit=3)
            return any(tick.timestamp > now and tick.is_completed for tick in ticks) or None

        eventually(look, "a tick of the sensor")

    def _sensor(self, name: str) -> InstigatorState | None:
        found = [state for state in self.instance.all_instigator_state() if state.instigator_name == name]
        return found[0] if found else None


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
    launchRunReexecution: _Reexecution  # noqa: N815 - as GraphQL names it


class _Launched(BaseModel):
    data: _Data
