"""Who asks, and whether they may: what every endpoint but the open ones depends on."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from m2m_pipeline.bootstrap import Application, Desk
from m2m_pipeline.domain.audit import AuditKind
from m2m_pipeline.domain.permissions import Permission, Principal
from m2m_pipeline.services.identity import KEY_PREFIX
from m2m_pipeline.settings import Settings
from m2m_pipeline.web.limits import RequestRate
from m2m_pipeline.web.oidc import Tokens
from m2m_pipeline.web.problems import ProblemError
from m2m_pipeline.web.streams import Streams

BEARER = HTTPBearer(
    auto_error=False, scheme_name="bearer", description="An API key (`m2m key create`), or a token of the OIDC issuer."
)


@dataclass(frozen=True, slots=True)
class FrontDoor:
    """What all requests of this process share."""

    application: Application
    settings: Settings
    tokens: Tokens
    rate: RequestRate
    streams: Streams


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who may do what they ask for, and the services for their tenant."""

    principal: Principal
    desk: Desk

    @property
    def tenant(self) -> str:
        """Their tenant's name."""
        return self.principal.tenant


def front_door(request: Request) -> FrontDoor:
    """What the application was built with."""
    return cast("FrontDoor", request.app.state.front_door)


def principal(request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]) -> Principal:
    """Who asks.

    Raises:
        ProblemError: nobody who could be known, or too often.
        SignInFailedError: the key or token does not hold.

    """
    if given is None:
        raise ProblemError("not-signed-in", "The request has no `Authorization: Bearer` header.")
    door = front_door(request)
    secret = given.credentials
    if secret.startswith(KEY_PREFIX) or not door.tokens.expected:
        known = door.application.identity.by_key(secret)
    else:
        known = door.application.identity.by_claims(*door.tokens.verified(secret))
    door.rate.take(f"{known.tenant_id}:{known.actor}")
    return known


@dataclass(frozen=True, slots=True)
class Allowed:
    """A dependency that lets through who has a permission. The OpenAPI document tells which, for each operation."""

    permission: Permission

    def __call__(self, request: Request, who: Annotated[Principal, Depends(principal)]) -> Caller:
        """The caller, with the services for their tenant.

        Raises:
            ProblemError: their role does not grant it; that is in the audit log.

        """
        door = front_door(request)
        if not who.may(self.permission):
            message = f"{request.method} {request.url.path}: a {who.role} may not {self.permission}."
            door.application.security_log.denied(AuditKind.PERMISSION_DENIED, who.actor, message, who.tenant_id)
            raise ProblemError("permission-denied", f"A {who.role} may not {self.permission}.")
        return Caller(who, door.application.desk(who.tenant_id))


Viewer = Annotated[Caller, Depends(Allowed(Permission.VIEW_CHANGES))]
ProviderViewer = Annotated[Caller, Depends(Allowed(Permission.VIEW_PROVIDERS))]
Examiner = Annotated[Caller, Depends(Allowed(Permission.EXAMINE_REQUESTS))]
Submitter = Annotated[Caller, Depends(Allowed(Permission.SUBMIT_CHANGES))]
Processor = Annotated[Caller, Depends(Allowed(Permission.PROCESS_CHANGES))]
Withdrawer = Annotated[Caller, Depends(Allowed(Permission.WITHDRAW_CHANGES))]
Retrier = Annotated[Caller, Depends(Allowed(Permission.RETRY_CHANGES))]
KeyViewer = Annotated[Caller, Depends(Allowed(Permission.VIEW_KEYS))]
KeyManager = Annotated[Caller, Depends(Allowed(Permission.MANAGE_KEYS))]
