"""Questions to the services: are you ready? An answer is None for yes, else what is missing."""

import httpx
from pydantic import BaseModel

from m2m_pipeline.local.errors import LocalServiceError
from m2m_pipeline.local.processes import ChildProcess

_HEALTH = """{
  instance { daemonHealth { allDaemonStatuses { daemonType required lastHeartbeatTime } } }
  workspaceOrError {
    __typename
    ... on Workspace {
      locationEntries {
        name loadStatus locationOrLoadError { ... on PythonError { message errorChain { error { message } } } }
      }
    }
    ... on PythonError { message }
  }
}"""


def missing_at_server(client: httpx.Client, process: ChildProcess, url: httpx.URL) -> str | None:
    """Ask whether the process itself answers at `url`; anything but a server error is an answer."""
    if url.port is None or not process.listens_on(url.port):
        return "it does not listen yet"
    try:
        status = client.get(url).status_code
    except httpx.HTTPError as error:
        return f"no answer: {error}"
    return f"it answers with {status}" if status >= httpx.codes.INTERNAL_SERVER_ERROR else None


def missing_at_daemon(client: httpx.Client, url: str, since: float) -> str | None:
    """Ask the webserver at `url` whether the code is loaded and each part of the daemon gave a sign of life.

    `since` (seconds since 1970): earlier signs are an earlier daemon's.
    Raises LocalServiceError when the code cannot be loaded: waiting does not help.
    """
    try:
        response = client.post(f"{url}/graphql", json={"query": _HEALTH}).raise_for_status()
    except httpx.HTTPError as error:
        return f"no answer from the webserver about it: {error}"
    health = _Reply.model_validate_json(response.content).data
    if health is None:
        return f"the webserver answers with errors: {response.text}"
    for location in health.workspaceOrError.locationEntries:
        found = location.locationOrLoadError
        if found is not None and found.message is not None:
            reasons = [found.message, *(link.error.message for link in found.errorChain)]
            raise LocalServiceError(
                f"code location {location.name}: Dagster cannot load it: {' '.join(map(str.strip, reasons))}"
            )
        if found is None or location.loadStatus != "LOADED":
            return f"code location {location.name} is not loaded yet"
    if not health.workspaceOrError.locationEntries:
        return f"no code location is loaded: {health.workspaceOrError.message or 'the workspace is empty'}"
    silent = [
        status.daemonType
        for status in health.instance.daemonHealth.allDaemonStatuses
        if status.required and (status.lastHeartbeatTime or 0) < since
    ]
    return f"no sign of life from {', '.join(silent)}" if silent else None


# The fields have the names of Dagster's GraphQL schema.
class _Error(BaseModel):
    message: str


class _ErrorLink(BaseModel):
    error: _Error


class _LoadResult(BaseModel):
    message: str | None = None
    errorChain: list[_ErrorLink] = []  # noqa: N815


class _Location(BaseModel):
    name: str
    loadStatus: str  # noqa: N815
    locationOrLoadError: _LoadResult | None  # noqa: N815


class _Workspace(BaseModel):
    locationEntries: list[_Location] = []  # noqa: N815
    message: str | None = None


class _DaemonStatus(BaseModel):
    daemonType: str  # noqa: N815
    required: bool
    lastHeartbeatTime: float | None  # noqa: N815


class _DaemonHealth(BaseModel):
    allDaemonStatuses: list[_DaemonStatus]  # noqa: N815


class _Instance(BaseModel):
    daemonHealth: _DaemonHealth  # noqa: N815


class _Health(BaseModel):
    instance: _Instance
    workspaceOrError: _Workspace  # noqa: N815


class _Reply(BaseModel):
    data: _Health | None = None
