"""Who looks at the page, by their session cookie, and whether what they send comes from our own forms."""

import hmac
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, cast
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

from m2m_pipeline.bootstrap import Desk
from m2m_pipeline.domain.audit import AuditKind
from m2m_pipeline.domain.permissions import Permission, Principal
from m2m_pipeline.services.catalogue import Offer
from m2m_pipeline.services.page_sessions import LASTS
from m2m_pipeline.settings import Settings
from m2m_pipeline.web.identity import front_door
from m2m_pipeline.web.problems import ProblemError

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
_COOKIE = "m2m_session"
_MAX_FIELDS = 40


class SignInNeededError(Exception):
    """Nobody is signed in: the sign-in page comes first."""


@dataclass(frozen=True)
class Visitor:
    """Somebody who is signed in, and the services for their tenant."""

    session_id: int
    principal: Principal
    name: str
    desk: Desk
    token: str

    @property
    def tenant(self) -> str:
        """Their tenant's name."""
        return self.principal.tenant

    @property
    def who(self) -> str:
        """Them among all that use this server: for limits."""
        return f"{self.principal.tenant_id}:{self.principal.actor}"

    @property
    def form_token(self) -> str:
        """What our forms carry: known to nobody who has not the session."""
        return hmac.new(self.token.encode(), b"form", "sha256").hexdigest()

    @cached_property
    def offers(self) -> Sequence[Offer]:
        """Their carrier accounts as they stand at this moment."""
        return self.desk.catalogue.offers(self.tenant)


def visitor(request: Request) -> Visitor:
    """Who is signed in.

    Raises:
        SignInNeededError: nobody.
        ProblemError: they ask too often.

    """
    door = front_door(request)
    token = request.cookies.get(cookie_name(_COOKIE, request), "")
    session = door.application.page_sessions.find(token) if token else None
    if session is None:
        raise SignInNeededError
    desk = door.application.desk(session.principal.tenant_id)
    known = Visitor(session.id, session.principal, session.name, desk, token)
    door.rate.take(known.who)
    request.state.visitor = known
    return known


@dataclass(frozen=True, slots=True)
class Allowed:
    """A dependency that lets in who has a permission."""

    permission: Permission

    def __call__(self, request: Request, known: Annotated[Visitor, Depends(visitor)]) -> Visitor:
        """The visitor.

        Raises:
            ProblemError: their role does not grant it; that is in the audit log.

        """
        who = known.principal
        if not who.may(self.permission):
            message = f"{request.method} {request.url.path}: a {who.role} may not {self.permission}."
            log = front_door(request).application.security_log
            log.denied(AuditKind.PERMISSION_DENIED, who.actor, message, who.tenant_id)
            raise ProblemError("permission-denied", f"A {who.role} may not {self.permission}.")
        return known


Looker = Annotated[Visitor, Depends(Allowed(Permission.VIEW_CHANGES))]
Preparer = Annotated[Visitor, Depends(Allowed(Permission.EXAMINE_REQUESTS))]
Submitter = Annotated[Visitor, Depends(Allowed(Permission.SUBMIT_CHANGES))]
Processor = Annotated[Visitor, Depends(Allowed(Permission.PROCESS_CHANGES))]
Withdrawer = Annotated[Visitor, Depends(Allowed(Permission.WITHDRAW_CHANGES))]
Retrier = Annotated[Visitor, Depends(Allowed(Permission.RETRY_CHANGES))]
Anybody = Annotated[Visitor, Depends(visitor)]


async def foreign_form(request: Request) -> AsyncGenerator[FormData]:
    """The fields, and at most one file, that somebody sent from our own page who need not be signed in.

    Raises:
        ProblemError: it came from somewhere else, or cannot be read; the first is in the audit log.

    """
    if not _is_from_here(request):
        await run_in_threadpool(_note, request, "a form from another site")
        raise ProblemError("permission-denied", "The form was sent from another site than this one.")
    limit = front_door(request).settings.max_body_bytes
    try:
        async with request.form(max_files=1, max_fields=_MAX_FIELDS, max_part_size=limit) as form:
            yield form
    except (HTTPException, UnicodeDecodeError) as error:
        raise ProblemError("invalid-request", f"The form cannot be read: {type(error).__name__}.") from None


async def own_form(request: Request) -> AsyncIterator[FormData]:
    """What one of our own forms sent, from our own page.

    Raises:
        ProblemError: it came from somewhere else, or cannot be read; the first is in the audit log.

    """
    known = _known(request)
    # Left half way, a generator inside another one is closed by the garbage collector, and its file with it.
    async with aclosing(foreign_form(request)) as forms:
        async for form in forms:
            given = form.get("form_token")
            expected = known.form_token if known else ""
            if not expected or not isinstance(given, str) or not hmac.compare_digest(given.encode(), expected.encode()):
                await run_in_threadpool(_note, request, "a form without the token of its page")
                raise ProblemError(
                    "permission-denied", "The form is not one of yours. Open its page again, and repeat it."
                )
            yield form


OwnForm = Annotated[FormData, Depends(own_form)]
"""After the visitor among an endpoint's parameters: whose form it is must be known."""
ForeignForm = Annotated[FormData, Depends(foreign_form)]


def _known(request: Request) -> Visitor | None:
    """Who was found to be signed in before, for the same request."""
    return cast("Visitor | None", getattr(request.state, "visitor", None))


def _note(request: Request, what: str) -> None:
    """Have a refused form in the audit log, as that of who is signed in, if anybody."""
    known = _known(request)
    actor, tenant_id = (known.principal.actor, known.principal.tenant_id) if known else ("page:?", None)
    log = front_door(request).application.security_log
    log.denied(AuditKind.PERMISSION_DENIED, actor, f"{request.method} {request.url.path}: {what}.", tenant_id)


def _is_from_here(request: Request) -> bool:
    """Whether a form comes from our own page, by what the browser says of it; it must say so."""
    public = front_door(request).settings.public_url
    try:
        origin = urlsplit(request.headers.get("origin", ""))
    except ValueError:
        return False
    if public:
        return (origin.scheme, origin.netloc) == (urlsplit(public).scheme, urlsplit(public).netloc)
    return bool(origin.netloc) and origin.netloc == request.headers.get("host", "")


def is_loopback(request: Request) -> bool:
    """Whether the browser reaches us on its own machine, by the name in its address bar."""
    return request.url.hostname in LOOPBACK_HOSTS


def is_secure(request: Request, settings: Settings) -> bool:
    """Whether cookies may travel over TLS only: always, but on one's own machine."""
    return settings.public_url.startswith("https://") or not is_loopback(request)


def cookie_name(name: str, request: Request) -> str:
    """The name of a cookie; over TLS one that no other host, and no subdomain's script, can set."""
    return f"__Host-{name}" if is_secure(request, front_door(request).settings) else name


def set_cookie(request: Request, response: Response, name: str, value: str, max_age: int) -> None:
    """A cookie that no script reads, and that other sites' forms do not bring."""
    secure = is_secure(request, front_door(request).settings)
    response.set_cookie(
        cookie_name(name, request), value, max_age=max_age, path="/", secure=secure, httponly=True, samesite="lax"
    )


def begin_session(request: Request, response: Response, who: Principal, name: str) -> None:
    """Sign somebody in; a session that the browser had before ends."""
    sessions = front_door(request).application.page_sessions
    if before := request.cookies.get(cookie_name(_COOKIE, request)):
        sessions.end(before)
    set_cookie(request, response, _COOKIE, sessions.begin(who, name), int(LASTS.total_seconds()))


def end_session(request: Request, response: Response, known: Visitor) -> None:
    """Sign somebody out."""
    front_door(request).application.page_sessions.end(known.token)
    set_cookie(request, response, _COOKIE, "", 0)
