"""What a person does with runs in the Dagster UI, as the UI asks for it."""

import json
from collections.abc import Mapping, Sequence

import dagster as dg

from m2m_pipeline_tests.acceptance.site import Site

_JOB = {
    "repositoryName": "__repository__",
    "repositoryLocationName": "m2m_pipeline",
    "pipelineName": "bulk_carrier_rate_plan_change",
}


def launch(site: Site, bulk_change_id: int) -> str:
    """The launchpad, with an id typed in by hand and nothing else; the new run's id."""
    params = {
        "selector": _JOB,
        "runConfigData": {"ops": {"validate_request": {"config": {"bulk_change_id": bulk_change_id}}}},
    }
    return _launched(site, _LAUNCH, "launchRun", params)


def reexecute_steps(site: Site, run_id: str, steps: Sequence[str]) -> str:
    """`Re-execute selected`, for steps of a run; the new run's id."""
    parent = _run(site, run_id)
    params = {
        "selector": _JOB,
        "runConfigData": parent.run_config,
        "stepKeys": list(steps),
        "executionMetadata": {
            "parentRunId": run_id,
            "rootRunId": parent.root_run_id or run_id,
            "tags": [{"key": key, "value": value} for key, value in parent.tags.items() if key.startswith("m2m/")],
        },
    }
    return _launched(site, _REEXECUTE, "launchRunReexecution", params)


def terminate(site: Site, run_id: str) -> None:
    """`Terminate`, without force."""
    answer = site._ask_dagster(_TERMINATE, run=run_id)
    assert b"TerminateRunSuccess" in answer, answer


def _launched(site: Site, mutation: str, name: str, params: Mapping[str, object]) -> str:
    answer = site._ask_dagster(mutation, params=params)
    run = json.loads(answer)["data"][name].get("run")
    assert run, answer
    return str(run["id"])


def _run(site: Site, run_id: str) -> dg.DagsterRun:
    run = site.instance.get_run_by_id(run_id)
    assert run is not None
    return run


_OUTCOME = """
    __typename
    ... on LaunchRunSuccess { run { id } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
"""
_LAUNCH = f"mutation ($params: ExecutionParams!) {{ launchRun(executionParams: $params) {{ {_OUTCOME} }} }}"
_REEXECUTE = (
    f"mutation ($params: ExecutionParams!) {{ launchRunReexecution(executionParams: $params) {{ {_OUTCOME} }} }}"
)
_TERMINATE = "mutation ($run: String!) { terminateRun(runId: $run) { __typename } }"
