"""What runs at once, as Dagster decides it by `dagster.yaml`: no account takes the slots of others, or of upkeep."""

import re
from collections import Counter
from collections.abc import Generator, Mapping
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from m2m_pipeline.domain.change import QueuedBulkChange
from m2m_pipeline.orchestration.jobs import bulk_carrier_rate_plan_change
from m2m_pipeline.orchestration.retention import retention
from m2m_pipeline.orchestration.sensors import run_request
from m2m_pipeline.services.execution.sightings import RUNS_AT_ONCE
from m2m_pipeline.services.queue import HEAD_OF_ACCOUNT, HEAD_SIZE

ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "docs" / "operations.md"
SHIPPED = yaml.safe_load((ROOT / "dagster.yaml").read_text(encoding="utf-8"))
RUNS = SHIPPED["concurrency"]["runs"]
SLOTS: int = RUNS["max_concurrent_runs"]
LIMITS: Mapping[str, int] = {one["key"]: one["limit"] for one in RUNS["tag_concurrency_limits"]}
BULK, ACCOUNT, UPKEEP = LIMITS["m2m/bulk"], LIMITS["m2m/account"], LIMITS["m2m/upkeep"]

QUEUED, STARTED = dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTED


@pytest.fixture
def instance() -> Generator[dg.DagsterInstance]:
    """Dagster with what is shipped of limits and queue."""
    with dg.instance_for_test(overrides={name: SHIPPED[name] for name in ("concurrency", "run_coordinator")}) as made:
        yield made


def test_upkeep_keeps_its_slots_and_several_accounts_go_on_at_once() -> None:
    assert BULK + UPKEEP < SLOTS
    assert 2 * ACCOUNT < BULK


def test_the_limits_are_told_as_they_are() -> None:
    told = re.findall(r"^\| `([\w/]+)`[^|]*\| (\d+) \|", OPERATIONS.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name: int(number) for name, number in told} == {**LIMITS, "max_concurrent_runs": SLOTS}


def test_the_head_of_the_queue_has_a_request_for_every_slot_that_is_free() -> None:
    accounts_at_their_limit = BULK // ACCOUNT
    assert HEAD_OF_ACCOUNT > ACCOUNT
    assert accounts_at_their_limit * HEAD_OF_ACCOUNT + BULK <= HEAD_SIZE


def test_whoever_weighs_the_pages_of_all_runs_of_an_account_counts_as_many_as_there_may_be() -> None:
    assert RUNS_AT_ONCE == ACCOUNT


def add_changes(instance: dg.DagsterInstance, account: str, number: int, status: dg.DagsterRunStatus = QUEUED) -> None:
    """Runs of bulk changes of one account, as the dispatch sensor asks for them."""
    for id_ in range(number):
        request = run_request(QueuedBulkChange(id_, 1, 0, "acme", "att", account))
        add_run(instance, bulk_carrier_rate_plan_change, request.tags, status)


def add_upkeep(instance: dg.DagsterInstance, number: int) -> None:
    """Scheduled runs that have come due."""
    for _ in range(number):
        add_run(instance, retention, {}, QUEUED)


def add_run(
    instance: dg.DagsterInstance, job: dg.JobDefinition, tags: Mapping[str, str], status: dg.DagsterRunStatus
) -> None:
    """A run with the tags that Dagster gives it: those of the job, and of the request."""
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("m2m_pipeline"), "defs"), job.name)
    tags = {**job.run_tags, **tags}
    instance.add_run(dg.DagsterRun(job_name=job.name, tags=tags, status=status, remote_job_origin=origin))


def would_start(instance: dg.DagsterInstance) -> Counter[str]:
    """How many runs Dagster would start now, by account; upkeep by its name."""
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
    runs = daemon._get_runs_to_dequeue(instance, instance.get_concurrency_config(), None)
    return Counter(run.tags.get("m2m/account", "upkeep") for run in runs)


def test_accounts_with_many_changes_hold_up_neither_another_account_nor_upkeep(instance: dg.DagsterInstance) -> None:
    for busy in ("a", "b"):
        add_changes(instance, busy, HEAD_OF_ACCOUNT)
    add_changes(instance, "c", 1)
    add_upkeep(instance, UPKEEP + 3)

    assert would_start(instance) == {"a": ACCOUNT, "b": ACCOUNT, "c": 1, "upkeep": UPKEEP}


def test_upkeep_starts_while_every_slot_of_bulk_changes_is_taken(instance: dg.DagsterInstance) -> None:
    for number in range(BULK):
        add_changes(instance, f"account {number}", 1, STARTED)
    add_changes(instance, "another", HEAD_OF_ACCOUNT)
    add_upkeep(instance, UPKEEP)

    assert would_start(instance) == {"upkeep": UPKEEP}


def test_upkeep_leaves_bulk_changes_their_slots(instance: dg.DagsterInstance) -> None:
    add_upkeep(instance, SLOTS)
    for number in range(BULK + 1):
        add_changes(instance, f"account {number}", 1)

    started = would_start(instance)
    assert (started.pop("upkeep"), started.total()) == (UPKEEP, BULK)
