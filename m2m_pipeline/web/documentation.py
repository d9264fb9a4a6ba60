"""The OpenAPI document, made true: which problems each operation answers, what it takes, and who may."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel

from m2m_pipeline.domain.request import BulkChangeRequest
from m2m_pipeline.web.identity import Allowed
from m2m_pipeline.web.models import KeyRequest
from m2m_pipeline.web.problems import KINDS, MEDIA_TYPE, ProblemDocument

_REF = "#/components/schemas/"
_EVERYWHERE = ("invalid-request", "request-too-large")
_SIGNED_IN = ("not-signed-in", "permission-denied", "too-many-requests", "database-refused")
EXAMPLE = {
    "provider": "att",
    "rate_plan": "M2M 5MB Pooled",
    "devices": ["8901170000000000001", "8901170000000000002"],
}
LEGACY_EXAMPLE = {
    "ServiceProviderId": 19,
    "ChangeType": 7,
    "ProcessChanges": True,
    "Devices": ["8901170000000000001"],
    "CarrierRatePlanUpdate": {"CarrierRatePlan": "M2M 5MB Pooled", "CommPlan": None, "EffectiveDate": None},
}


def problems(*slugs: str) -> dict[int | str, dict[str, Any]]:
    """The answers of an operation that are problems, for FastAPI's `responses`; what all answer goes without saying."""
    return {KINDS[slug].status: _answer([slug]) for slug in slugs}


def request_body(*, file: bool = True, legacy_only: bool = False) -> dict[str, Any]:
    """A request for a bulk change, of an operation that reads its body itself, for FastAPI's `openapi_extra`."""
    names = [_REF + "LegacyRequest"] if legacy_only else [_REF + "BulkChangeRequest", _REF + "LegacyRequest"]
    examples = {"existing_system": {"value": LEGACY_EXAMPLE}}
    if not legacy_only:
        examples = {"ours": {"value": EXAMPLE}, **examples}
    content: dict[str, Any] = {
        "application/json": {"schema": {"anyOf": [{"$ref": name} for name in names]}, "examples": examples}
    }
    if file:
        content["multipart/form-data"] = {"schema": {"$ref": _REF + "BulkChangeForm"}}
    return {"requestBody": {"required": True, "content": content}}


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """The same for a document of our own."""
    content = {"application/json": {"schema": {"$ref": _REF + model.__name__}}}
    return {"requestBody": {"required": True, "content": content}}


def describe(app: FastAPI, routers: Sequence[APIRouter]) -> dict[str, Any]:
    """The OpenAPI document of the application, whose operations are those of `routers`."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas.update(_own_schemas())
        for route in (route for router in routers for route in router.routes):
            if isinstance(route, APIRoute) and route.include_in_schema:
                for method in route.methods or ():
                    _complete(document["paths"][route.path_format][method.lower()], route)
        app.openapi_schema = document
    return app.openapi_schema


def permission_of(route: APIRoute) -> Allowed | None:
    """What the operation asks of its caller; None for one that is open to everybody."""
    return next((one.call for one in route.dependant.dependencies if isinstance(one.call, Allowed)), None)


def _complete(operation: dict[str, Any], route: APIRoute) -> None:
    answers = operation["responses"]
    automatic = answers.get("422", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if automatic.get("$ref") == _REF + "HTTPValidationError":
        del answers["422"]
    allowed = permission_of(route)
    for slug in (*_EVERYWHERE, *(_SIGNED_IN if allowed else ())):
        answers.setdefault(str(KINDS[slug].status), _answer([slug]))
    if allowed:
        operation["x-permission"] = allowed.permission.value


def _answer(slugs: list[str]) -> dict[str, Any]:
    return {
        "description": KINDS[slugs[0]].title,
        "content": {MEDIA_TYPE: {"schema": {"$ref": _REF + ProblemDocument.__name__}}},
    }


def _own_schemas() -> dict[str, Any]:
    schemas: dict[str, Any] = {}
    for model in (ProblemDocument, BulkChangeRequest, KeyRequest):
        schema = model.model_json_schema(ref_template=_REF + "{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    fields = schemas["BulkChangeRequest"]["properties"]
    text = {"type": ["string", "null"]}
    schemas["LegacyRequest"] = {
        "type": "object",
        "description": "The request in the existing system's names.",
        "properties": {
            "ServiceProviderId": {"type": ["integer", "string", "null"]},
            "ServiceProvider": text,
            "ChangeType": {"type": ["integer", "null"], "description": "7: the carrier rate plan change"},
            "ProcessChanges": {"type": ["boolean", "null"]},
            "Devices": {"type": ["array", "null"], "items": {"type": "string"}},
            "CarrierRatePlanUpdate": {
                "type": ["object", "null"],
                "properties": {"CarrierRatePlan": text, "CommPlan": text, "EffectiveDate": text},
            },
        },
    }
    schemas["BulkChangeForm"] = {
        "type": "object",
        "description": "A CSV file with a column `iccid` (or `SIM`), and the rest of the request as fields.",
        "properties": {
            "file": {"type": "string", "contentMediaType": "text/csv", "format": "binary"},
            **{name: field for name, field in fields.items() if name != "devices"},
        },
        "required": ["file"],
        "additionalProperties": False,
    }
    return schemas
