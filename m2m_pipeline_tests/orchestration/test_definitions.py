"""What Dagster loads: one job whose graph reads as the business flow, and its sensor."""

import ast
import inspect
from collections.abc import Sequence
from itertools import pairwise

import dagster as dg
import pytest

from m2m_pipeline.orchestration import ops
from m2m_pipeline.orchestration.jobs import bulk_carrier_rate_plan_change as job

STEPS = (
    "validate_request",
    "build_change_details",
    "authenticate_carrier",
    "plan_batches",
    "change_devices",
    "update_amop",
    "write_audit",
    "finalize_bulk_change",
)
LONGEST_BODY = 10


@pytest.fixture
def definitions(monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
    # The database is not asked while definitions load.
    monkeypatch.setenv("M2M_DATABASE_URL", "postgresql+psycopg://m2m:none@127.0.0.1:1/m2m")
    from m2m_pipeline.definitions import defs  # noqa: PLC0415 - reads the environment

    return defs


def test_the_definitions_load_without_a_database(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)


def test_the_sensors_run_without_anybody_starting_them(definitions: dg.Definitions) -> None:
    sensors = {one.name: one for one in definitions.sensors or []}

    assert {"dispatch_bulk_changes", "sweep_abandoned_attempts", "deliver_notices"} <= sensors.keys()
    assert {"watch_platform", "seal_audit_log"} <= sensors.keys()
    assert {one.default_status for one in sensors.values()} == {dg.DefaultSensorStatus.RUNNING}
    assert {name for name, one in sensors.items() if one.targets} == {"dispatch_bulk_changes"}
    assert sensors["dispatch_bulk_changes"].job_name == job.name


def test_each_run_that_is_scheduled_counts_as_upkeep_and_a_bulk_change_as_such(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    scheduled = [repository.get_job(one.job_name) for one in repository.schedule_defs]

    assert {"reconciliation", "retention"} <= {one.name for one in scheduled}
    assert {one.run_tags.get("m2m/upkeep") for one in scheduled} == {"true"}
    assert job.run_tags["m2m/bulk"] == "true"
    assert "m2m/upkeep" not in job.run_tags


def test_the_graph_has_the_named_steps_one_after_the_other() -> None:
    before = {name: upstream(name) for name in job.graph.node_dict}

    assert before == {
        "validate_request": set(),
        **{step: {previous} for previous, step in pairwise(STEPS)},
        "finalize_bulk_change": {"write_audit", "authenticate_carrier"},
    }


def test_later_steps_of_a_batch_go_before_earlier_steps_of_the_next() -> None:
    priorities = [int(job.graph.node_dict[step].definition.tags["dagster/priority"]) for step in STEPS[4:7]]

    assert priorities == sorted(set(priorities))


def test_only_the_queue_starts_another_attempt() -> None:
    assert (job.tags["dagster/max_retries"], job.tags["dagster/retry_strategy"]) == ("0", "ALL_STEPS")
    for node in job.graph.node_dict.values():
        assert isinstance(node.definition, dg.OpDefinition)
        assert node.definition.retry_policy is None


@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_a_sentence(step: str) -> None:
    body = body_of(step)

    assert sum(lines(statement) for statement in body) <= LONGEST_BODY


def upstream(step: str) -> set[str]:
    """The steps whose outputs a step takes."""
    return {output.node_name for output in job.graph.dependency_structure.all_upstream_outputs_from_node(step)}


def body_of(step: str) -> Sequence[ast.stmt]:
    """The statements of an op's function, its docstring aside."""
    (function,) = [
        node
        for node in ast.parse(inspect.getsource(ops)).body
        if isinstance(node, ast.FunctionDef) and node.name == step
    ]
    assert ast.get_docstring(function)
    return function.body[1:]


def lines(statement: ast.stmt) -> int:
    return (statement.end_lineno or statement.lineno) - statement.lineno + 1
