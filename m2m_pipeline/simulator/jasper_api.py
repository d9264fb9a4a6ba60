"""The carrier's REST API, `/rws/api/v1`: what each request does and what it is answered.

Transport, sign-in and limits are elsewhere; here a request that was admitted becomes a Reply.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from m2m_pipeline.simulator import replies
from m2m_pipeline.simulator.carrier import Carrier, Device
from m2m_pipeline.simulator.device_edit import Circumstances, edit_device
from m2m_pipeline.simulator.device_reads import audit_trail, details, page, search
from m2m_pipeline.simulator.documents import Account
from m2m_pipeline.simulator.moments import show
from m2m_pipeline.simulator.replies import RefusedError, Reply, error, html, success

API_ROOT = "/rws/api/v1/"
_OTHER_VERSION = re.compile(r"/rws/api/v(?!1/)[^/]*/.*")


@dataclass(slots=True)
class Request:
    """An admitted request."""

    account: Account
    method: str
    path: str
    query: str
    body: bytes
    circumstances: Circumstances

    def parameters(self) -> dict[str, str]:
        """The query; a + in it is a space, as the carrier reads it too."""
        return dict(parse_qsl(self.query, keep_blank_values=True))


def answer(carrier: Carrier, request: Request) -> Reply:
    """Carry the request out and answer it."""
    try:
        return _route(carrier, request)
    except RefusedError as refused:
        return error(refused.code)


def iccid_in(path: str) -> str | None:
    """The ICCID that a path names, if it names one."""
    parts = path.removeprefix(API_ROOT).split("/")
    return parts[1] if parts[0] == "devices" and len(parts) > 1 and parts[1] else None


def _route(carrier: Carrier, request: Request) -> Reply:
    if not request.path.startswith(API_ROOT):
        return _outside_the_api(request.path)
    content: Mapping[str, object]
    match request.method, request.path.removeprefix(API_ROOT).split("/"):
        case "PUT", ["devices", iccid]:
            _edit(carrier, request, iccid)
            content = {"iccid": iccid}
        case "GET", ["devices", iccid]:
            content = details(carrier, _device(carrier, request, iccid), request.parameters())
        case "GET", ["devices", iccid, "auditTrails"]:
            content = audit_trail(_device(carrier, request, iccid), carrier.now_ms(), request.parameters())
        case "GET", ["devices"]:
            content = search(carrier, request.account, request.parameters(), request.circumstances)
        case "GET", ["rateplans"]:
            content = _rate_plans(carrier, request)
        case "GET", ["echo", param]:
            content = {"param": param}
        case _:
            return _outside_the_api(request.path)
    return success(content)


def _outside_the_api(path: str) -> Reply:
    """A page, as from a wrong host; only another version of the API is recognised as such."""
    return error(replies.INVALID_API_VERSION) if _OTHER_VERSION.fullmatch(path) else html(404, "404 Not Found")


def _device(carrier: Carrier, request: Request, iccid: str) -> Device:
    device = carrier.devices.get(iccid)
    if device is None or device.account != request.account.username:
        # A device of another account is as unknown as one that does not exist.
        raise RefusedError(replies.NOT_FOUND)
    return device


def _edit(carrier: Carrier, request: Request, iccid: str) -> None:
    if request.query:  # `fields` and its like are for GET only
        raise RefusedError(replies.UNRECOGNISED_PARAMETER)
    edit_device(carrier, _device(carrier, request, iccid), request.body, request.circumstances)


def _rate_plans(carrier: Carrier, request: Request) -> dict[str, object]:
    if not request.account.reads_rate_plans:
        raise RefusedError(replies.ROLE_DENIED)
    published = [name for name in carrier.rate_plans if name not in request.circumstances.retired_plans]
    return {
        "operatorName": "Simulated operator",
        "operatorId": "1",
        "timeStamp": show(carrier.now_ms()),
        **page("ratePlans", published, request.parameters(), lambda name: {"name": name}),
    }
