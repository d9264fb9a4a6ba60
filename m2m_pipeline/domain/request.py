"""The request for a bulk carrier rate plan change, as it comes in: our names, or the existing system's.

The model holds the shape only. Whether provider, plan, date and devices hold is examined with the database beside it,
so that a client hears everything that is wrong at once.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Self, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError, model_validator
from pydantic_core import ErrorDetails

from m2m_pipeline.domain.accounts import MAX_NAME_LENGTH
from m2m_pipeline.domain.batching import MAX_BATCH_SIZE
from m2m_pipeline.domain.problems import Problem, RequestRejectedError, shown
from m2m_pipeline.domain.reasons import ReasonCode

CARRIER_RATE_PLAN_CHANGE = 7
"""The existing system's ChangeType of a carrier rate plan change."""

MAX_ID = 2**63 - 1

_LEGACY_NAMES = {
    "ServiceProviderId": "service_provider_id",
    "ServiceProvider": "provider",
    "ChangeType": "change_type",
    "ProcessChanges": "process_changes",
    "Devices": "devices",
    "CarrierRatePlan": "rate_plan",
    "CommPlan": "communication_plan",
    "EffectiveDate": "effective_date",
}
_UPDATE = "CarrierRatePlanUpdate"
_OF_THE_UPDATE = {"rate_plan", "communication_plan", "effective_date"}
_THEIRS: Mapping[str | int, str] = {ours: theirs for theirs, ours in _LEGACY_NAMES.items()}
# Of other change types or other carriers; the existing system's clients send them along, mostly null or zero.
_LEGACY_IGNORED = {
    "PlanUuid",
    "RatePlanId",
    "OverrideValidation",
    "StatusUpdate",
    "RevService",
    "CustomerRatePlanUpdate",
}


def is_legacy(data: Mapping[str, object]) -> bool:
    """Whether a request is in the existing system's names."""
    return not data.keys().isdisjoint({*_LEGACY_NAMES, _UPDATE})


def place_in(data: Mapping[str, object], location: Sequence[str | int]) -> tuple[str | int, ...]:
    """Where a request in either system's names has what is at `location` in ours; where it is missing, its place."""
    field, *rest = location
    update = data.get(_UPDATE)
    inner = cast("Mapping[str, object]", update) if isinstance(update, Mapping) else {}
    members = [*(((name,), value) for name, value in data.items()), *(((_UPDATE, key), inner[key]) for key in inner)]
    wanted = [field, "service_provider_id"] if field == "provider" else [field]  # a provider may be named by either
    for ours in wanted:
        places = [place for place, _ in members if _LEGACY_NAMES.get(place[-1], place[-1]) == ours]
        meant = [place for place, value in members if place in places and _without_nulls({"": value})]
        if meant or (places and ours == wanted[-1]):
            return (*(meant or places)[-1], *rest)
    if not is_legacy(data):
        return (field, *rest)
    if field in _OF_THE_UPDATE:
        return (_UPDATE, _THEIRS[field]) if isinstance(update, Mapping) else (_UPDATE,)
    return (_THEIRS.get(field, field), *rest)


class InvalidRows(StrEnum):
    """What faults of single rows do to the request."""

    REJECT = "reject"  # nothing is recorded; the whole list of faults is the answer
    SKIP = "skip"  # faulty rows are recorded as ended with their reason, the rest goes on


def _storable_text(value: object) -> object:
    """An ICCID sent as a JSON number is its digits; as a float it shows the damage. PostgreSQL stores no NUL."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


NO_CONTROL_CHARACTERS = r"^[^\x00-\x1f\x7f]*$"
Name = Annotated[str, Field(max_length=MAX_NAME_LENGTH, pattern=NO_CONTROL_CHARACTERS)]


class BulkChangeRequest(BaseModel):
    """Move `devices` (ICCIDs) to `rate_plan`, and to `communication_plan` where one is named."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    provider: Name | None = None
    service_provider_id: Annotated[int, Field(ge=-MAX_ID, le=MAX_ID)] | None = None
    change_type: int = CARRIER_RATE_PLAN_CHANGE
    process_changes: bool = True
    rate_plan: Name = ""
    communication_plan: Name | None = None
    effective_date: Annotated[str, Field(max_length=40, pattern=NO_CONTROL_CHARACTERS)] | None = None
    devices: tuple[Annotated[str, BeforeValidator(_storable_text)], ...] = ()
    batch_size: Annotated[int, Field(ge=1, le=MAX_BATCH_SIZE)] | None = None
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    invalid_rows: InvalidRows = InvalidRows.REJECT
    idempotency_key: Annotated[Name, Field(min_length=1)] | None = None
    _faults: tuple[Problem, ...] = PrivateAttr(default=())

    @model_validator(mode="before")
    @classmethod
    def _from_the_existing_system(cls, data: object) -> object:
        return _in_our_names(cast("Mapping[str, object]", data)) if isinstance(data, Mapping) else data

    @property
    def faults(self) -> tuple[Problem, ...]:
        """What could not be read, of the request or of single rows: told with whatever the examination finds."""
        return self._faults

    @property
    def is_cut(self) -> bool:
        """Whether a field could not be read: what is left is another request, and is never recorded."""
        return any(fault.row is None for fault in self._faults)

    def with_faults(self, faults: Sequence[Problem]) -> Self:
        """The same request, with these faults."""
        told = self.model_copy()
        told._faults = tuple(faults)  # noqa: SLF001 -- our own kind
        return told

    @property
    def digest(self) -> str:
        """SHA-256 of the content: the same key with another digest is a conflict."""
        content = self.model_dump(mode="json", exclude={"idempotency_key"})
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @property
    def without_devices(self) -> dict[str, object]:
        """The request as it is kept beside its rows."""
        return {**self.model_dump(mode="json", exclude={"devices"}), "device_count": len(self.devices)}


def parse_request(data: object, faults: Sequence[Problem] = ()) -> BulkChangeRequest:
    """The request in `data` (parsed JSON), as far as it can be read, with one fault for each field that cannot.

    `faults`: what is wrong with it already.

    Raises:
        RequestRejectedError: it is no object, and nothing of it can be read.

    """
    try:
        return BulkChangeRequest.model_validate(data).with_faults(faults)
    except ValidationError as error:
        unread = error.errors(include_url=False)
    told = [fault_of(one) for one in unread]
    if not isinstance(data, Mapping):
        raise RequestRejectedError(told)
    readable = _readable(cast("Mapping[str, object]", data), [one["loc"] for one in unread])
    return BulkChangeRequest.model_validate(readable).with_faults([*faults, *told])


def fault_of(unread: ErrorDetails) -> Problem:
    """What pydantic could not read, as it is told."""
    place = ".".join(str(part) for part in unread["loc"])
    field, *inner = unread["loc"] or ("",)
    row = inner[0] + 1 if field == "devices" and inner and isinstance(inner[0], int) else None
    given = unread["input"]
    value = shown(given) if isinstance(given, str | int | float) else None
    message = f"{place or 'request'}: {unread['msg']}."
    return Problem(ReasonCode.FIELD_INVALID, message, place or None, value, row, unread["loc"])


def _readable(data: Mapping[str, object], unread: Sequence[tuple[str | int, ...]]) -> dict[str, object]:
    """The request without what cannot be read; a row stays in its place, empty."""
    fields = _in_our_names(data)
    devices = fields.get("devices")
    rows = list(cast("Sequence[object]", devices)) if isinstance(devices, list | tuple) else []
    for field, *inner in unread:
        if inner and isinstance(inner[0], int):
            rows[inner[0]] = ""
        else:
            fields.pop(str(field))
    return {**fields, "devices": rows} if "devices" in fields else fields


def _in_our_names(fields: Mapping[str, object]) -> dict[str, object]:
    update = fields.get(_UPDATE)
    flat = {**fields, **(cast("Mapping[str, object]", update) if isinstance(update, Mapping) else {})}
    if isinstance(update, Mapping) or update is None:
        flat.pop(_UPDATE, None)
    named = {_LEGACY_NAMES.get(name, name): value for name, value in flat.items() if name not in _LEGACY_IGNORED}
    return _provider_by_name(_without_nulls(named))


def _without_nulls(fields: Mapping[str, object]) -> dict[str, object]:
    """The existing system writes null, and an empty or blank string, for what is not meant."""
    return {
        name: value
        for name, value in fields.items()
        if value is not None and not (isinstance(value, str) and not value.strip())
    }


def _provider_by_name(fields: dict[str, object]) -> dict[str, object]:
    """A provider id that is no number is a name."""
    given = fields.get("service_provider_id")
    if isinstance(given, str) and not given.strip().isdecimal():
        fields["provider"] = fields.pop("service_provider_id")
    return fields
