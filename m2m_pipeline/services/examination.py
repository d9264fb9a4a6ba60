"""The dry run: what a request would do to each of its devices, as submission sees them. Nothing is recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from m2m_pipeline.domain.change import RequestedRow
from m2m_pipeline.domain.problems import Problem
from m2m_pipeline.domain.reasons import REASONS, ReasonCode
from m2m_pipeline.domain.request import BulkChangeRequest
from m2m_pipeline.domain.status import DeviceStatus
from m2m_pipeline.services.submission import Examined, Submission
from m2m_pipeline.storage.database import Database


class Fate(StrEnum):
    """What would happen to a device."""

    CHANGE = "CHANGE"  # it is sent to the carrier
    WAIT = "WAIT"  # it is sent once an earlier bulk change has ended for it
    SKIP = "SKIP"  # there is nothing to do for this row
    REFUSE = "REFUSE"  # it is not sent, for the reason that is given


@dataclass(frozen=True, slots=True)
class Forecast:
    """What would happen to one row. `old_rate_plan`: what AMOP believes the device to be on."""

    row: int
    iccid: str
    fate: Fate
    old_rate_plan: str | None
    reason: ReasonCode | None
    message: str | None


@dataclass(frozen=True, slots=True)
class Findings:
    """The whole answer. `accepted`: the request would be recorded. Without a provider, no device can be foretold."""

    accepted: bool
    problems: Sequence[Problem]  # of the request, then of its rows
    forecasts: Sequence[Forecast]

    @property
    def counts(self) -> dict[Fate, int]:
        """Rows by what would happen to them."""
        fates = [forecast.fate for forecast in self.forecasts]
        return {fate: fates.count(fate) for fate in Fate}


class Examination:
    """Looks, and writes nothing."""

    def __init__(self, database: Database, submission: Submission) -> None:
        self._database = database
        self._submission = submission

    def examine(self, tenant_name: str, request: BulkChangeRequest) -> Findings:
        """What would become of the request if it were submitted now."""
        with self._database.begin(snapshot=True) as tx:
            examined = self._submission.examine(tx, tenant_name, request)
        return Findings(
            accepted=not examined.refuses(request),
            problems=[*examined.problems, *examined.row_problems],
            forecasts=[_forecast(examined, row) for row in _foretold(examined, request)],
        )


def _foretold(examined: Examined, request: BulkChangeRequest) -> list[RequestedRow]:
    return examined.rows(request.devices) if examined.found or (examined.row_problems and examined.provider) else []


def _forecast(examined: Examined, row: RequestedRow) -> Forecast:
    device = examined.found.get(row.iccid)
    old = device.rate_plan if device else None
    if row.reason is not None:
        fate = Fate.SKIP if row.status is DeviceStatus.SKIPPED else Fate.REFUSE
        return Forecast(row.row_number, row.iccid, fate, old, row.reason, row.message)
    wanted = examined.target
    same_communication = wanted.communication_plan in {None, device.communication_plan if device else None}
    if old == wanted.rate_plan and same_communication and row.status is not DeviceStatus.WAITING:
        title = REASONS[ReasonCode.ALREADY_ON_PLAN].title
        return Forecast(row.row_number, row.iccid, Fate.SKIP, old, ReasonCode.ALREADY_ON_PLAN, f"Not sent: {title}.")
    fate = Fate.WAIT if row.status is DeviceStatus.WAITING else Fate.CHANGE
    return Forecast(row.row_number, row.iccid, fate, old, None, None)
