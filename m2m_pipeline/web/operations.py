"""Endpoints for those who run the service: is it alive, is it ready."""

from fastapi import APIRouter, Request, Response

from m2m_pipeline.storage.database import DatabaseRefusedError, DatabaseUnavailableError
from m2m_pipeline.storage.migrate import pending
from m2m_pipeline.web.identity import front_door
from m2m_pipeline.web.models import Health

router = APIRouter(tags=["operations"])


@router.get("/healthz", operation_id="isAlive", summary="Whether the process answers")
def is_alive() -> Health:
    """It asks nobody else."""
    return Health(status="ok")


@router.get(
    "/readyz",
    operation_id="isReady",
    summary="Whether it can do its work",
    responses={503: {"model": Health, "description": "Something that it needs is missing"}},
)
def is_ready(request: Request, response: Response) -> Health:
    """The database answers, and its schema is the newest.

    Whether Dagster's daemon gives a sign of life is asked of `m2m health`: while it is silent requests are still taken,
    and wait in the queue. Nobody is to be sent away for it.
    """
    checks = {"database": "ok", "migrations": "ok"}
    try:
        checks["migrations"] = pending(front_door(request).application.database) or "ok"
    except DatabaseUnavailableError:
        checks = {"database": "it does not answer", "migrations": "unknown"}
    except DatabaseRefusedError:
        checks["migrations"] = "the database has none of them: run `m2m migrate`"
    ready = all(check == "ok" for check in checks.values())
    response.status_code = 200 if ready else 503
    return Health(status="ok" if ready else "not ready", checks=checks)
