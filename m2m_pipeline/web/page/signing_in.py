"""Signing in and out."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from m2m_pipeline.domain.audit import AuditKind
from m2m_pipeline.domain.permissions import Role
from m2m_pipeline.domain.request import MAX_NAME_LENGTH, NO_CONTROL_CHARACTERS
from m2m_pipeline.services.identity import SignInFailedError
from m2m_pipeline.web.identity import front_door
from m2m_pipeline.web.issuer import IssuerSilentError
from m2m_pipeline.web.issuer_keys import IssuerAwayError
from m2m_pipeline.web.page import oidc_flow
from m2m_pipeline.web.page.oidc_flow import FlowError, Started
from m2m_pipeline.web.page.rendering import render
from m2m_pipeline.web.page.route import PageRoute, to
from m2m_pipeline.web.page.visiting import (
    Anybody,
    ForeignForm,
    OwnForm,
    begin_session,
    cookie_name,
    end_session,
    is_loopback,
    set_cookie,
)
from m2m_pipeline.web.problems import KINDS, ProblemError

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_STARTED, _NEXT = "m2m_sign_in", "m2m_next"
_AT_THE_ISSUER_SECONDS = 600
Wanted = Annotated[str, Query(alias="next", max_length=1000, pattern=NO_CONTROL_CHARACTERS)]


@router.get("/sign-in")
def show_sign_in(request: Request, wanted: Wanted = "/") -> Response:
    """The ways in."""
    return _sign_in_page(request, wanted)


@router.post("/sign-in/developer")
def sign_developer_in(request: Request, form: ForeignForm) -> Response:
    """In development only: as whoever one likes to be."""
    if not _lets_developers_in(request):
        log = front_door(request).application.security_log
        log.denied(AuditKind.SIGN_IN_FAILED, "developer:?", "Developers are not let in here.")
        raise ProblemError("permission-denied", "Nobody is let in here without signing in at the issuer.")
    tenant, role = str(form.get("tenant", "")).strip(), str(form.get("role", ""))
    if role not in set(Role) or not 0 < len(tenant) <= MAX_NAME_LENGTH or not tenant.isprintable():
        return _sign_in_page(request, _local(str(form.get("next", "/"))), 400, "Give a company and a role.")
    who = front_door(request).application.page_sessions.developer(tenant, Role(role))
    response = to(_local(str(form.get("next", "/"))))
    begin_session(request, response, who, "Developer")
    return response


@router.get("/sign-in/oidc")
def go_to_issuer(request: Request, wanted: Wanted = "/") -> Response:
    """On to the issuer, which asks who it is."""
    settings = front_door(request).settings
    if not oidc_flow.offered(settings):
        raise ProblemError("not-found", "No issuer is set up: M2M_OIDC_ISSUER, M2M_OIDC_CLIENT_ID and M2M_PUBLIC_URL.")
    started = Started.anew()
    try:
        response = to(oidc_flow.issuer_address(settings, started))
    except IssuerSilentError:
        return _away(request)
    set_cookie(request, response, _STARTED, started.cookie, _AT_THE_ISSUER_SECONDS)
    set_cookie(request, response, _NEXT, _local(wanted).encode().hex(), _AT_THE_ISSUER_SECONDS)
    return response


@router.get(oidc_flow.CALLBACK)
def come_from_issuer(request: Request) -> Response:
    """Back from the issuer, with a code that is worth a token once."""
    door = front_door(request)
    try:
        started = Started.read(request.cookies.get(cookie_name(_STARTED, request), ""))
        token = oidc_flow.identity_token(door.settings, started, dict(request.query_params))
        who, name = door.tokens.signed_in(token, started.nonce, door.application.identity)
    except FlowError as error:
        door.application.security_log.denied(AuditKind.SIGN_IN_FAILED, "oidc:?", f"At the page: {error}.")
        return _refused(request)
    except SignInFailedError:
        return _refused(request)
    except (IssuerSilentError, IssuerAwayError):
        return _away(request)
    response = to(_wanted_before(request))
    set_cookie(request, response, _STARTED, "", 0)
    set_cookie(request, response, _NEXT, "", 0)
    begin_session(request, response, who, name)
    return response


@router.post("/sign-out")
def sign_out(request: Request, known: Anybody, _form: OwnForm) -> Response:
    """The session ends here and now, wherever its cookie has got to."""
    response = to("/sign-in")
    end_session(request, response, known)
    return response


def _lets_developers_in(request: Request) -> bool:
    """Also not under a foreign name that leads to this machine."""
    return front_door(request).settings.dev_sign_in and is_loopback(request)


def _sign_in_page(request: Request, wanted: str, status: int = 200, complaint: str = "") -> Response:
    return render(
        request,
        "sign_in.html",
        status,
        wanted=_local(wanted),
        complaint=complaint,
        issuer=oidc_flow.offered(front_door(request).settings),
        developer=_lets_developers_in(request),
        roles=list(Role),
    )


def _refused(request: Request) -> Response:
    """What the issuer's part was stays in the log."""
    complaint = (
        "You were not signed in: the sign-in ran out or was cancelled, or you have no role here. "
        "Try again, and ask your administrator if it fails again."
    )
    return _sign_in_page(request, "/", KINDS["permission-denied"].status, complaint)


def _away(request: Request) -> Response:
    kind = KINDS["issuer-unavailable"]
    response = _sign_in_page(request, "/", kind.status, "The sign-in service does not answer. Try again in a minute.")
    response.headers["Retry-After"] = str(kind.retry_after)
    return response


def _wanted_before(request: Request) -> str:
    try:
        return _local(bytes.fromhex(request.cookies.get(cookie_name(_NEXT, request), "")).decode())
    except ValueError:
        return "/"


def _local(address: str) -> str:
    """The address, if it is one of this page; no other site's, however it is written."""
    fine = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    return address if fine and "\\" not in address else "/"
