"""The carrier port over the Jasper REST API, version 1.

Source: Cisco's IoT Control Center REST API documentation, and for what it leaves open, clients in public use.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from m2m_pipeline.carriers.http import CarrierHttp, Timeouts
from m2m_pipeline.carriers.jasper.judgement import Said, judged
from m2m_pipeline.carriers.jasper.schemas import Device, DeviceEdit, DeviceList, Envelope, RatePlanList
from m2m_pipeline.domain.accounts import Credential
from m2m_pipeline.domain.carrier import (
    Capabilities,
    Completion,
    DevicePage,
    DeviceReading,
    Identifier,
    Leave,
    PlanChange,
    RatePlanPage,
    at_once,
)
from m2m_pipeline.domain.outcome import (
    Answer,
    Applied,
    ChangeOutcome,
    ReadFailure,
    Refused,
    Unconfirmed,
    Unreachable,
)
from m2m_pipeline.domain.reasons import ReasonCode

API_PATH = "/rws/api/v1"
PAGE_SIZE = 50  # Jasper's default and maximum
Wire = TypeVar("Wire", bound=BaseModel)

CAPABILITIES = Capabilities(
    identifier=Identifier.ICCID,
    completion=Completion.SYNC,
    devices_per_call=1,
    effective_date_horizon_days=180,
    repeat_is_free=True,
    page_size=PAGE_SIZE,
)


class JasperCarrier:
    """One Jasper account. `base_url` is the pod's REST host alone, such as https://restapi19.att.com."""

    def __init__(self, base_url: str, credential: Credential, in_flight: int, timeouts: Timeouts) -> None:
        token = b64encode(f"{credential.username}:{credential.api_key}".encode()).decode()
        self._secrets = (credential.api_key, token)
        self._http = CarrierHttp(base_url, f"Basic {token}", in_flight, timeouts)

    @property
    def capabilities(self) -> Capabilities:
        """What Jasper can do: no bulk edit of plans over REST, and the same plan twice does no harm."""
        return CAPABILITIES

    @property
    def clock_ahead(self) -> timedelta:
        """The clock of the pod's gateway to ours."""
        return self._http.clock_ahead

    @property
    def call_seconds(self) -> float:
        """The limit of a whole call."""
        return self._http.call_seconds

    async def check_access(self, leave: Leave = at_once) -> ReadFailure | None:
        """Ask the echo function. Jasper has no login: the credential goes with every call."""
        echo = await self._read(f"{API_PATH}/echo/m2m-pipeline", {}, Envelope, leave)
        return echo if isinstance(echo, ReadFailure) else None

    async def change_plan(self, change: PlanChange, leave: Leave = at_once) -> ChangeOutcome:
        """Send one PUT. Applied only if a 2xx names this ICCID and reports no error."""
        edit = DeviceEdit(
            rate_plan=change.rate_plan,
            communication_plan=change.communication_plan,
            effective_date=change.effective_date,
        )
        fate = await self._http.call("PUT", _device_path(change.iccid), json=edit.to_json(), leave=leave)
        said = judged(fate, self._secrets)
        if not isinstance(said, Said):
            return said
        if said.iccid != change.iccid:
            return Unconfirmed(replace(said.answer, message="a success that does not name this ICCID"))
        # The published description lists 202 for this call, and not what follows it: verification will see.
        return Applied(said.answer, pending=said.answer.http_status == HTTPStatus.ACCEPTED)

    async def read_device(self, iccid: str, leave: Leave = at_once) -> DeviceReading | ReadFailure:
        """Read one device. An answer about another one is a failure of the carrier, not a reading."""
        device = await self._read(_device_path(iccid), {}, Device, leave)
        if isinstance(device, ReadFailure):
            return device
        if device.iccid != iccid:
            return _unusable(HTTPStatus.OK)
        return _reading(device)

    async def list_devices(
        self, modified_since: datetime, page: int, leave: Leave = at_once
    ) -> DevicePage | ReadFailure:
        """Read one page. `modified_since` has a time zone; it goes out in UTC, rounded down to the second."""
        since = modified_since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        listed = await self._read(f"{API_PATH}/devices", {"modifiedSince": since} | _page(page), DeviceList, leave)
        if isinstance(listed, ReadFailure):
            return listed
        return DevicePage([_reading(device) for device in listed.devices], last=listed.last_page)

    async def list_rate_plans(self, page: int, leave: Leave = at_once) -> RatePlanPage | ReadFailure:
        """Read one page of the published plans. Any role but AccountAdmin is refused (10000030)."""
        listed = await self._read(f"{API_PATH}/rateplans", _page(page), RatePlanList, leave)
        if isinstance(listed, ReadFailure):
            return listed
        return RatePlanPage([plan.name for plan in listed.rate_plans], last=listed.last_page)

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.close()

    async def _read(self, path: str, query: Mapping[str, str], form: type[Wire], leave: Leave) -> Wire | ReadFailure:
        """One GET. It changes nothing, so what would leave a PUT in doubt is a plain failure here."""
        said = judged(await self._http.call("GET", path, query, leave=leave), self._secrets)
        match said:
            case Said(answer, _, json):
                try:
                    return form.model_validate_json(json)
                except ValidationError:
                    return _unusable(answer.http_status)
            case Unconfirmed(answer, None, abandoned):
                return Unreachable(answer, ReasonCode.CARRIER_UNREACHABLE, abandoned=abandoned)
            case Unconfirmed(answer, wait):
                return Unreachable(answer, ReasonCode.CARRIER_RATE_LIMITED, throttled=True, retry_after=wait)
            case Refused() | Unreachable():
                return said


def _device_path(iccid: str) -> str:
    return f"{API_PATH}/devices/{quote(iccid, safe='')}"


def _page(page: int) -> dict[str, str]:
    return {"pageSize": str(PAGE_SIZE), "pageNumber": str(page)}


def _reading(device: Device) -> DeviceReading:
    return DeviceReading(
        iccid=device.iccid,
        rate_plan=device.rate_plan,
        communication_plan=device.communication_plan,
        sim_status=device.status,
        msisdn=device.msisdn,
        imsi=device.imsi,
    )


def _unusable(http_status: int | None) -> Unreachable:
    answer = Answer(http_status, message="the carrier's answer is not what its documentation promises")
    return Unreachable(answer, ReasonCode.CARRIER_UNREACHABLE)
