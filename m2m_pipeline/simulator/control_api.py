"""`/_control` changes the simulation, `/_ledger` tells what happened: JSON, without sign-in, loopback only."""

from collections.abc import Iterable
from typing import Annotated
from urllib.parse import parse_qsl

from pydantic import BaseModel, Field, ValidationError

from m2m_pipeline.simulator.carrier import Edit
from m2m_pipeline.simulator.documents import AccountLimits, Document, Drift, Latency, World
from m2m_pipeline.simulator.replies import Reply, success
from m2m_pipeline.simulator.rules import RuleError
from m2m_pipeline.simulator.scenarios import SCENARIOS, Rule
from m2m_pipeline.simulator.simulation import Simulation

LARGEST_PAGE = 10_000
"""Ledger entries in one answer: some 30 ms of the one core that also serves the carrier calls."""


class _Window(Document):
    """Which part of the ledger a request wants."""

    after: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1, le=LARGEST_PAGE)] = LARGEST_PAGE


class UnknownError(LookupError):
    """The path names something that does not exist."""


def control(simulation: Simulation, method: str, path: str, query: str, body: bytes) -> Reply:
    """Carry out a control request. 200 with JSON; 400 and 404 with {"error": reason}."""
    try:
        simulation.set_clock()
        if method == "GET":
            return _read(simulation, path, query)
        return success(_change(simulation, method, path, body))
    except UnknownError as unknown:
        return success({"error": str(unknown)}, 404)
    except (ValidationError, RuleError) as invalid:
        return success({"error": str(invalid)}, 400)


def _read(simulation: Simulation, path: str, query: str) -> Reply:
    ledger = simulation.carrier.ledger
    window = _Window.model_validate(dict(parse_qsl(query)))
    match path:
        case "/_control/devices":
            return _documents(simulation.carrier.views())
        case "/_control/scenarios":
            return success(_scenarios(simulation))
        case "/_ledger/calls":
            return _documents(ledger.calls(window.after, window.limit))
        case "/_ledger/changes":
            return _documents(ledger.changes(window.after, window.limit))
        case "/_ledger/summary":
            return Reply(200, ledger.summary().model_dump_json().encode())
        case _:
            raise UnknownError(f"nothing to read at {path}")


def _change(simulation: Simulation, method: str, path: str, body: bytes) -> dict[str, object]:
    match method, path.removeprefix("/_control/").split("/"):
        case "PUT", ["world"]:
            simulation.replace_world(World.model_validate_json(body))
        case "POST", ["devices", iccid]:
            _drift(simulation, iccid, Drift.model_validate_json(body))
        case "POST", ["scenarios"]:
            return {"id": simulation.rules.add(Rule.model_validate_json(body))}
        case "DELETE", ["scenarios"]:
            simulation.rules.clear()
        case "DELETE", ["scenarios", rule_id]:
            if not (rule_id.isdecimal() and simulation.rules.remove(int(rule_id))):
                raise UnknownError(f"no scenario in force has the id {rule_id}")
        case "POST", ["limits"]:
            _set_limits(simulation, AccountLimits.model_validate_json(body))
        case "POST", ["latency"]:
            simulation.latency = Latency.model_validate_json(body)
        case "POST", ["reset"]:
            simulation.reset()
        case _:
            raise UnknownError(f"no control request {method} {path}")
    return {}


def _drift(simulation: Simulation, iccid: str, drift: Drift) -> None:
    carrier = simulation.carrier
    device = carrier.devices.get(iccid)
    if device is None:
        raise UnknownError(f"no device {iccid}")
    unknown_rate_plan = drift.rate_plan is not None and drift.rate_plan not in carrier.rate_plans
    if unknown_rate_plan or drift.communication_plan not in {None, *carrier.communication_plans}:
        raise UnknownError(f"no such plan: {drift.model_dump_json(exclude_none=True)}")
    edit = Edit(drift.rate_plan, drift.communication_plan, drift.status)
    carrier.apply(device, edit, carrier.now_ms(), None, "console")


def _set_limits(simulation: Simulation, limits: AccountLimits) -> None:
    try:
        simulation.admission.set_limits(limits)
    except KeyError:
        raise UnknownError(f"no account {limits.account}") from None


def _scenarios(simulation: Simulation) -> dict[str, object]:
    in_force = simulation.rules.in_force().items()
    return {
        "catalogue": {name: scenario.summary for name, scenario in SCENARIOS.items()},
        "in_force": {rule_id: rule.model_dump(mode="json", exclude_defaults=True) for rule_id, rule in in_force},
    }


def _documents(documents: Iterable[BaseModel]) -> Reply:
    return Reply(200, ("[" + ",".join(document.model_dump_json() for document in documents) + "]").encode())
