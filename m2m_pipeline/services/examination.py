"""The dry run: what a request would do to each of its devices, as submission sees them. Nothing is recorded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from m2m_pipeline.domain.change import MarkedRow, Target
from m2m_pipeline.domain.problems import Problem
from m2m_pipeline.domain.reasons import REASONS, ReasonCode
from m2m_pipeline.domain.request import BulkChangeRequest
from m2m_pipeline.domain.rows import MAX_RECORDED_VALUE
from m2m_pipeline.domain.status import DeviceStatus
from m2m_pipeline.services.submission import Submission
from m2m_pipeline.services.validation import Examined
from m2m_pipeline.storage import inventory
from m2m_pipeline.storage.database import Database
from m2m_pipeline.storage.inventory import DevicePlans

_NO_PLANS = DevicePlans(None, None)


class Fate(StrEnum):
    """What would happen to a device."""

    CHANGE = "CHANGE"  # it is sent to the carrier
    WAIT = "WAIT"  # it is sent once an earlier bulk change has ended for it
    SKIP = "SKIP"  # there is nothing to do for this row
    REFUSE = "REFUSE"  # it is not sent, for the reason that is given


_Foretold = tuple[Fate, ReasonCode | None, str | None]


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
            provider = examined.provider
            plans = inventory.find_plans(tx, provider.id, request.devices) if provider else {}
        return Findings(
            accepted=not examined.refuses(request),
            problems=[*examined.problems, *examined.row_problems],
            forecasts=list(_forecasts(examined, request.devices, plans)) if provider else [],
        )


def _forecasts(examined: Examined, iccids: Sequence[str], plans: Mapping[str, DevicePlans]) -> Iterator[Forecast]:
    marks = {row.row_number: row for row in examined.marked(iccids)}
    for row, iccid in enumerate(iccids, start=1):
        mark, on = marks.get(row), plans.get(iccid, _NO_PLANS)
        fate, reason, message = _marked(mark) if mark else _free(examined.target, on)
        yield Forecast(row, iccid[:MAX_RECORDED_VALUE], fate, on.rate_plan, reason, message)


def _marked(mark: MarkedRow) -> _Foretold:
    if mark.status is DeviceStatus.WAITING:
        return Fate.WAIT, None, None
    fate = Fate.SKIP if mark.status is DeviceStatus.SKIPPED else Fate.REFUSE
    return fate, mark.reason, mark.message


def _free(wanted: Target, on: DevicePlans) -> _Foretold:
    if on.rate_plan == wanted.rate_plan and wanted.communication_plan in {None, on.communication_plan}:
        return Fate.SKIP, ReasonCode.ALREADY_ON_PLAN, f"Not sent: {REASONS[ReasonCode.ALREADY_ON_PLAN].title}."
    return Fate.CHANGE, None, None
