"""Jasper's JSON, as far as we need it: demanding about what decides something, deaf to the rest.

Source: Cisco's documentation of Edit Device Details, Get Device Details, Search Devices and Get Rate Plans.
"""

from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, PlainSerializer, StringConstraints
from pydantic.alias_generators import to_camel

Text = Annotated[str, StringConstraints(strip_whitespace=True)]
Name = Annotated[Text, StringConstraints(min_length=1)]
# The form that clients of the API agree on, `2026-12-01Z`; Cisco's own pages give none.
ZonedDate = Annotated[date, PlainSerializer(lambda day: f"{day.isoformat()}Z", return_type=str)]


class _Wire(BaseModel):
    # Numbers where text is meant: an identifier without quotes is still the identifier.
    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        coerce_numbers_to_str=True,
        extra="ignore",
        frozen=True,
    )


class DeviceEdit(_Wire):
    """Body of `PUT /devices/{iccid}`. What is None is left out: one unwanted key fails the whole call."""

    rate_plan: str
    communication_plan: str | None = None
    effective_date: ZonedDate | None = None

    def to_json(self) -> str:
        """The body as it goes over the wire."""
        return self.model_dump_json(by_alias=True, exclude_none=True)


class Envelope(_Wire):
    """What any answer may hold: the ICCID that it is about, an error, or both in one body."""

    iccid: Text | None = None
    error_code: Text | None = None
    error_message: Text | None = None


class Device(_Wire):
    """A device, from `GET /devices/{iccid}` or the list. A null plan is an answer; a missing one is not."""

    iccid: Name
    rate_plan: str | None
    communication_plan: str | None = None
    status: str | None = None
    msisdn: str | None = None
    imsi: str | None = None


class DeviceList(_Wire):
    """One page of `GET /devices`; one bad device spoils it."""

    devices: list[Device]
    last_page: bool


class RatePlan(_Wire):
    """One plan; devices refer to it by `name`."""

    name: Name


class RatePlanList(_Wire):
    """One page of `GET /rateplans`."""

    rate_plans: list[RatePlan]
    last_page: bool
