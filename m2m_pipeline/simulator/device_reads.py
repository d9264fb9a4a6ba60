"""GET /devices, /devices/{iccid} and its auditTrails."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, cast

from m2m_pipeline.simulator import replies
from m2m_pipeline.simulator.carrier import Carrier, Device, Edit, TrailEntry
from m2m_pipeline.simulator.device_edit import CUSTOM_FIELDS, STATUSES, Circumstances
from m2m_pipeline.simulator.documents import Account
from m2m_pipeline.simulator.moments import DAY_MS, read_moment, show
from m2m_pipeline.simulator.replies import RefusedError

_Item = TypeVar("_Item")

_LARGEST_PAGE = 50
_YEAR_DAYS = 366
"""modifiedTill may be a year after modifiedSince; 366 days, so that a leap year is a year too."""
_LONGEST_HISTORY_DAYS = 365
_PAGING = frozenset({"pageSize", "pageNumber"})
_CUSTOM = frozenset(CUSTOM_FIELDS)
_SEARCH = _PAGING | _CUSTOM | {"modifiedSince", "modifiedTill", "accountId", "status"}


def details(carrier: Carrier, device: Device, parameters: Mapping[str, str]) -> dict[str, object]:
    """All documented fields, or those that `fields` names; unknown names in `fields` are passed over."""
    _refuse_unknown(parameters, frozenset({"fields"}))
    extras = device.extras or {}
    opened = show(carrier.opened_ms)
    account_id = next(it.account_id for it in carrier.accounts if it.username == device.account)
    everything: dict[str, object] = {
        "iccid": device.iccid,
        "imsi": device.imsi,
        "msisdn": device.msisdn,
        "imei": device.imei,
        "status": device.status,
        "ratePlan": device.rate_plan,
        "communicationPlan": device.communication_plan,
        "customer": extras.get("customer"),
        "endConsumerId": None,
        "dateActivated": opened,
        "dateAdded": opened,
        "dateUpdated": show(device.updated_ms),
        "dateShipped": opened,
        "accountId": account_id,
        "fixedIPAddress": extras.get("ipv4Address"),
        "fixedIpv6Address": extras.get("ipv6Address"),
        **{name: extras.get(name, "") for name in CUSTOM_FIELDS},
        "simNotes": None,
        "deviceID": extras.get("deviceID"),
        "modemID": extras.get("modemID", ""),
        "globalSimType": "",
        "eid": None,
        "simProfileId": "",
    }
    if "fields" not in parameters:
        return everything
    chosen = frozenset(parameters["fields"].split(","))
    return {name: value for name, value in everything.items() if name in chosen}


def search(
    carrier: Carrier, account: Account, parameters: Mapping[str, str], circumstances: Circumstances
) -> dict[str, object]:
    """The account's devices by their last modification, oldest first, 50 a page.

    A device that is modified between two pages moves to the end, and the rest moves up: as with the carrier,
    only a fixed modifiedTill in the past gives pages that fit together. Both bounds are included. Sources
    contradict each other on a modifiedSince in the future or more than a year back: it is accepted.
    """
    _refuse_unknown(parameters, _SEARCH)
    if not parameters.get("modifiedSince"):
        raise RefusedError(replies.DATE_MISSING)
    since_ms = read_moment(parameters["modifiedSince"])
    till_ms = carrier.now_ms()
    if "modifiedTill" in parameters:
        till_ms = read_moment(parameters["modifiedTill"])
        if till_ms < since_ms:
            raise RefusedError(replies.TILL_BEFORE_SINCE)
        if till_ms > since_ms + _YEAR_DAYS * DAY_MS:
            raise RefusedError(replies.INVALID_DATE)
    if parameters.get("accountId", account.account_id) != account.account_id:
        raise RefusedError(replies.INVALID_ACCOUNT_ID)
    status = parameters.get("status")
    if status is not None and status not in STATUSES:
        raise RefusedError(replies.INVALID_STATUS)
    custom = {name: value for name, value in parameters.items() if name in _CUSTOM}
    found = _chosen(carrier, account, carrier.modified(since_ms, till_ms), status, custom)
    if circumstances.listing.unordered:
        draws = random.Random(circumstances.call)  # noqa: S311 -- reproducible, not secret
        found.sort(key=lambda device: (device.updated_ms // 1000, draws.random()))
    content = page("devices", found, parameters, _found)
    listed = cast("list[dict[str, str]]", content["devices"])
    for row in listed[: circumstances.listing.moved]:
        note = Edit(extras={CUSTOM_FIELDS[0]: f"seen by call {circumstances.call}"})
        carrier.apply(carrier.devices[row["iccid"]], note, carrier.now_ms(), None, "console")
    return content


def audit_trail(device: Device, now_ms: int, parameters: Mapping[str, str]) -> dict[str, object]:
    """The device's edits, newest first. The list's name is known from clients; its fields are not verified."""
    _refuse_unknown(parameters, _PAGING | {"daysOfHistory"})
    days = _whole_number(parameters, "daysOfHistory", 30, replies.TOO_MUCH_HISTORY)
    if days > _LONGEST_HISTORY_DAYS:
        raise RefusedError(replies.TOO_MUCH_HISTORY)
    entries = [entry for entry in reversed(device.trail or []) if entry.at_ms >= now_ms - days * DAY_MS]
    return page("deviceAuditTrails", entries, parameters, _trail_entry)


def page(
    name: str, items: Sequence[_Item], parameters: Mapping[str, str], render: Callable[[_Item], object]
) -> dict[str, object]:
    """One page of a list; a page after the last one is empty and the last."""
    size = _whole_number(parameters, "pageSize", _LARGEST_PAGE, replies.INVALID_PAGE_SIZE)
    number = _whole_number(parameters, "pageNumber", 1, replies.INVALID_PAGE_NUMBER)
    if size > _LARGEST_PAGE:
        raise RefusedError(replies.INVALID_PAGE_SIZE)
    end = number * size
    return {
        "pageNumber": number,
        name: [render(item) for item in items[end - size : end]],
        "lastPage": end >= len(items),
    }


def _chosen(
    carrier: Carrier, account: Account, found: list[Device], status: str | None, custom: Mapping[str, str]
) -> list[Device]:
    """What is asked for of these. No condition is tried that all meet: 100,000 devices have 2,000 pages."""
    if len(carrier.accounts) > 1:
        found = [device for device in found if device.account == account.username]
    if status is not None:
        found = [device for device in found if device.status == status]
    if custom:
        found = [device for device in found if custom.items() <= (device.extras or {}).items()]
    return found


def _found(device: Device) -> dict[str, str]:
    return {
        "iccid": device.iccid,
        "status": device.status,
        "ratePlan": device.rate_plan,
        "communicationPlan": device.communication_plan,
    }


def _trail_entry(entry: TrailEntry) -> dict[str, str]:
    return {
        "field": entry.field,
        "priorValue": entry.before,
        "value": entry.after,
        "effectiveDate": show(entry.at_ms),
        "status": "Error" if entry.failed else "Completed",
        "userName": entry.user,
        "delegatedUser": "",
    }


def _refuse_unknown(parameters: Mapping[str, str], known: frozenset[str]) -> None:
    if not parameters.keys() <= known:
        raise RefusedError(replies.UNRECOGNISED_PARAMETER)


def _whole_number(parameters: Mapping[str, str], name: str, default: int, refusal: str) -> int:
    text = parameters.get(name, str(default))
    # isascii: isdecimal alone lets other scripts' digits pass.
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise RefusedError(refusal)
    return int(text)
