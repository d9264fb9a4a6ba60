"""PUT /devices/{iccid}: checked as a whole, then applied as a whole, now, later or (in trouble) never."""

import json
from dataclasses import dataclass
from typing import cast

from m2m_pipeline.simulator import replies
from m2m_pipeline.simulator.carrier import Carrier, Device, Edit
from m2m_pipeline.simulator.moments import read_effective_date
from m2m_pipeline.simulator.replies import RefusedError
from m2m_pipeline.simulator.rules import Listing
from m2m_pipeline.simulator.scenarios import Effect

STATUSES = frozenset(
    "ACTIVATED ACTIVATION_READY DEACTIVATED INVENTORY PURGED REPLACED RETIRED TEST_READY".split()  # noqa: SIM905
)
CUSTOM_FIELDS = (
    *(f"operatorCustom{number}" for number in range(1, 6)),
    *(f"accountCustom{number}" for number in range(1, 11)),
    *(f"customerCustom{number}" for number in range(1, 6)),
)
_OVERAGE_OVERRIDES = frozenset({"DEFAULT", "TEMPORARY_OVERRIDE", "PERMANENT_OVERRIDE"})
_EXTRAS = {
    "customer",
    "deviceID",
    "modemID",
    "overageLimitOverride",
    "ipv4Address",
    "ipv6Address",
    "apn",
    "pdpId",
    *CUSTOM_FIELDS,
}
_EDITABLE = _EXTRAS | {"status", "ratePlan", "communicationPlan", "effectiveDate"}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the scenarios in force make of a request."""

    call: int
    """The call's number in the ledger."""
    effect: Effect
    delay_ms: int
    retired_plans: frozenset[str]
    listing: Listing


def edit_device(carrier: Carrier, device: Device, body: bytes, circumstances: Circumstances) -> None:
    """Carry the edit out as the circumstances demand; the device's present plan is as good as any other.

    The refusal names the first problem in this order: JSON, unknown keys, nothing to edit, rate plan,
    communication plan, status, overage override, date. A second edit does not cancel one that is scheduled
    (the carrier's rule is unknown): both are applied, each at its date.
    """
    fields = _fields(body)
    edit = _checked(carrier, fields, circumstances.retired_plans)
    now_ms = carrier.now_ms()
    due_ms = now_ms
    if "effectiveDate" in fields:
        due_ms = read_effective_date(fields["effectiveDate"], now_ms)
    user = device.account
    match circumstances.effect:
        case Effect.NOW if due_ms <= now_ms:
            carrier.apply(device, edit, now_ms, circumstances.call, user)
        case Effect.NOW:
            carrier.schedule(device, edit, due_ms, circumstances.call, user)
        case Effect.LATER:
            carrier.schedule(device, edit, due_ms + circumstances.delay_ms, circumstances.call, user)
        case Effect.FAILS_INSIDE:
            carrier.fail_inside(device, edit, user)
        case Effect.NONE | Effect.UNSEEN:
            pass


def _fields(body: bytes) -> dict[str, str]:
    try:
        content = cast("object", json.loads(body))
    except ValueError:
        raise RefusedError(replies.MALFORMED_JSON) from None
    if not isinstance(content, dict):
        raise RefusedError(replies.MALFORMED_JSON)
    fields = cast("dict[str, object]", content)
    if not fields.keys() <= _EDITABLE:
        raise RefusedError(replies.UNRECOGNISED_PARAMETER)
    if not fields.keys() - {"effectiveDate"}:
        raise RefusedError(replies.REQUIRED_FIELD_MISSING)
    # A null or a number is no name of anything: it is checked, and refused, as the text it is not.
    return {name: value if isinstance(value, str) else "" for name, value in fields.items()}


def _checked(carrier: Carrier, fields: dict[str, str], retired: frozenset[str]) -> Edit:
    rate_plan = fields.get("ratePlan")
    if rate_plan is not None and (rate_plan not in carrier.rate_plans or rate_plan in retired):
        raise RefusedError(replies.INVALID_RATE_PLAN)
    communication_plan = fields.get("communicationPlan")
    if communication_plan is not None and communication_plan not in carrier.communication_plans:
        raise RefusedError(replies.INVALID_COMMUNICATION_PLAN)
    status = fields.get("status")
    if status is not None and status not in STATUSES:
        raise RefusedError(replies.INVALID_STATUS)
    if fields.get("overageLimitOverride", "DEFAULT") not in _OVERAGE_OVERRIDES:
        raise RefusedError(replies.INVALID_OVERAGE_OVERRIDE)
    if fields.keys() & {"ipv4Address", "ipv6Address"} and not fields.keys() >= {"apn", "pdpId"}:
        raise RefusedError(replies.REQUIRED_FIELD_MISSING)
    return Edit(rate_plan, communication_plan, status, {name: fields[name] for name in fields.keys() & _EXTRAS})
