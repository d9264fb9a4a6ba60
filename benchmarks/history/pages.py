"""What the pages of Dagster's UI ask for, and how long its webserver takes to answer."""

import signal
import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import httpx

from benchmarks.launching import start
from benchmarks.measurement import InvalidRunError
from benchmarks.stand import PROJECT
from m2m_pipeline.local.children import end_group, tail
from m2m_pipeline.local.ports import free_port
from m2m_pipeline.orchestration.catalog import (
    audit_trail,
    budget_use,
    bulk_changes,
    carrier_state,
    daily_statistics,
    inventory,
    rate_plan_drift,
)

READY_SECONDS, LOOK_SECONDS = 120.0, 0.2
_EVENTS = 100

ASSETS = (
    *(bulk_changes, audit_trail, inventory, carrier_state, rate_plan_drift),
    *(daily_statistics, budget_use),
)
_METADATA = """metadataEntries { __typename label description ... on IntMetadataEntry { intValue }
    ... on FloatMetadataEntry { floatValue } ... on TextMetadataEntry { text } ... on MarkdownMetadataEntry { mdStr }
    ... on TableMetadataEntry { table { records schema { columns { name type } } } } }"""
_CATALOG = """query ($keys: [AssetKeyInput!]!) { assetNodes(assetKeys: $keys, loadMaterializations: true) {
    id groupName kinds isPartitioned jobNames partitionStats { numMaterialized numPartitions numFailed }
    assetMaterializations(limit: 1) { timestamp runId partition }
    assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization { status timestamp } } } }
} }"""
_LATEST = """query ($keys: [AssetKeyInput!]!) { assetsLatestInfo(assetKeys: $keys) { assetKey { path }
    latestMaterialization { timestamp runId } unstartedRunIds inProgressRunIds latestRun { id status endTime } } }"""
_PARTITIONS = """query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
    partitionKeysByDimension { name partitionKeys } partitionStats { numMaterialized numFailed numPartitions }
    assetPartitionStatuses { ... on DefaultPartitionStatuses { materializedPartitions failedPartitions
        unmaterializedPartitions materializingPartitions } } } } }"""
_HISTORY = f"""query ($key: AssetKeyInput!) {{ assetOrError(assetKey: $key) {{ ... on Asset {{
    assetMaterializations(limit: {_EVENTS}) {{ timestamp partition runId stepKey description {_METADATA}
        runOrError {{ ... on Run {{ id jobName status startTime endTime }} }} }} }} }} }}"""
_RUNS = """{ runsOrError(limit: 25) { ... on Runs { count results { id status jobName tags { key value } startTime
    endTime creationTime updateTime assetSelection { path } repositoryOrigin { repositoryName } } } } }"""
_FEED = """{ runsFeedOrError(limit: 30, view: RUNS) { ... on RunsFeedConnection { cursor hasMore results { id runStatus
    creationTime startTime endTime jobName tags { key value } } } }
    runsFeedCountOrError(view: RUNS) { ... on RunsFeedCount { count } } }"""
_RUN = """query ($id: ID!) { runOrError(runId: $id) { ... on Run { id status runConfigYaml startTime endTime
    tags { key value } stats { ... on RunStatsSnapshot { stepsSucceeded stepsFailed } }
    stepStats { stepKey status startTime endTime } executionPlan { steps { key kind } } assets { key { path } } } } }"""
_LOGS = f"""query ($id: ID!) {{ logsForRun(runId: $id, limit: 1000) {{ ... on EventConnection {{ cursor hasMore
    events {{ __typename ... on MessageEvent {{ message timestamp level stepKey eventType }}
        ... on MaterializationEvent {{ {_METADATA} }} }} }} }} }}"""

Query = tuple[str, Mapping[str, object]]


class Webserver:
    """A running webserver."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def pages(self, run_id: str) -> Mapping[str, Sequence[Query]]:
        """The queries of each page, which the UI sends together; of runs, the page of this one."""
        every = {"keys": [_key(one) for one in ASSETS]}
        changes, drift = {"key": _key(bulk_changes)}, {"key": _key(rate_plan_drift)}
        return {
            "asset catalog": [(_CATALOG, every), (_LATEST, every)],
            "bulk changes, partitions": [(_PARTITIONS, changes)],
            "bulk changes, events and plots": [(_HISTORY, changes), (_PARTITIONS, changes)],
            "drift, events and plots": [(_HISTORY, drift), (_PARTITIONS, drift)],
            "runs": [(_RUNS, {}), (_FEED, {})],
            "a run": [(_RUN, {"id": run_id}), (_LOGS, {"id": run_id})],
        }

    def open(self, queries: Sequence[Query]) -> float:
        """Ask all at once; seconds until the last answer."""
        began = time.monotonic()
        with ThreadPoolExecutor(len(queries)) as pool:
            for _ in pool.map(self.ask, queries):
                pass
        return time.monotonic() - began

    def ask(self, query: Query) -> Mapping[str, object]:
        """The data of an answer. Raises InvalidRunError where there is none, or an error beside it."""
        text, variables = query
        said = self._client.post("/graphql", json={"query": text, "variables": variables}).json()
        if said.get("errors") or not said.get("data"):
            raise InvalidRunError(f"the webserver refused {text[:60]}…: {str(said)[:600]}")
        return said["data"]


def _key(asset: dg.AssetSpec) -> Mapping[str, object]:
    return {"path": list(asset.key.path)}


@contextmanager
def webserver(environment: Mapping[str, str], log: Path) -> Generator[Webserver]:
    """The webserver as `m2m up` starts it, ready. Raises InvalidRunError if it does not become so."""
    port = free_port()
    module = ["-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port), "-w", str(PROJECT / "workspace.yaml")]
    with (
        start(module, log=log, environment=environment, death_signal=signal.SIGTERM, cwd=PROJECT) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client,
    ):
        try:
            _await(client, log)
            yield Webserver(client)
        finally:
            end_group(process)


def _await(client: httpx.Client, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            client.get("/server_info").raise_for_status()
        except httpx.HTTPError as error:
            if time.monotonic() > deadline:
                raise InvalidRunError(f"dagster-webserver: not ready in {READY_SECONDS:g} s:\n{tail(log)}") from error
            time.sleep(LOOK_SECONDS)
        else:
            return
