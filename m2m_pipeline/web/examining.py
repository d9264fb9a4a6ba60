"""The endpoint that tells what a request would do."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.services.examination import Fate
from m2m_pipeline.web.bodies import pointer, read_request
from m2m_pipeline.web.documentation import problems, request_body
from m2m_pipeline.web.faults import error_items
from m2m_pipeline.web.identity import Examiner
from m2m_pipeline.web.models import BASE
from m2m_pipeline.web.problems import ErrorItem

router = APIRouter(prefix=BASE, tags=["bulk changes"])


class ForecastOfDevice(BaseModel):
    """What would happen to one row."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    row: int
    iccid: str
    fate: Fate
    old_rate_plan: str | None = Field(description="What AMOP believes the device to be on")
    reason: ReasonCode | None
    message: str | None


class Forecasts(BaseModel):
    """What would become of the request if it were sent now."""

    model_config = ConfigDict(frozen=True)

    accepted: bool = Field(description="It would be recorded")
    counts: dict[Fate, int] = Field(description="Rows by what would happen to them")
    errors: list[ErrorItem] = Field(description="Everything that is wrong, as the request itself would be told")
    devices: list[ForecastOfDevice] = Field(description="Every row; empty where there is no provider to ask")


@router.post(
    "/bulk-changes/validate",
    operation_id="validateBulkChange",
    summary="What a bulk change would do to each device; nothing is recorded",
    openapi_extra=request_body(),
    responses=problems("unsupported-media-type"),
)
async def validate(request: Request, caller: Examiner) -> Forecasts:
    """A request that would be rejected is answered with 200, too: `accepted` is false, and `errors` say why."""
    asked = await read_request(request)

    def look() -> Forecasts:
        found = caller.desk.examination.examine(caller.tenant, asked)
        return Forecasts(
            accepted=found.accepted,
            counts=found.counts,
            errors=list(error_items(found.problems, lambda one: pointer(request, one))),
            devices=[ForecastOfDevice.model_validate(one) for one in found.forecasts],
        )

    return await run_in_threadpool(look)
