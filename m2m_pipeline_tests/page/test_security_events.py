"""Every event that matters to security is in the audit log, once, with whom it was about: the table names them all."""

import inspect
import re
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import pytest
from pydantic import SecretStr

from m2m_pipeline.domain.audit import AuditKind
from m2m_pipeline.domain.notices import DestinationKind
from m2m_pipeline.domain.permissions import Role
from m2m_pipeline.services.accounts import ProviderSettings
from m2m_pipeline.services.destinations import OPERATORS
from m2m_pipeline.services.execution.execution import AccessDeniedError
from m2m_pipeline.services.security_log import NOBODY
from m2m_pipeline_tests.page.visitors import Visitor, nobody, visitor
from m2m_pipeline_tests.web.door import Door, open_door
from m2m_pipeline_tests.world import OWNER, PROVIDER, TENANT, World

CHANGES = "/api/v1/bulk-changes"
EVIL = "https://evil.example"
METRICS = "the-metrics-token"


@dataclass(frozen=True)
class Stand:
    """The front door, and people at it."""

    door: Door
    stranger: Visitor
    viewer: Visitor
    operator: Visitor

    @property
    def world(self) -> World:
        return self.door.world

    def metrics(self, token: str) -> None:
        assert self.door.with_token(token).get("/metrics").status_code in {200, 401}

    def store_destination(self, tenant: str | None) -> None:
        self.world.services.destinations.store(tenant, DestinationKind.WEBHOOK, "https://8.8.8.8/", None, "ann")

    def retire_secret(self, tenant: str | None) -> None:
        destinations = self.world.services.destinations
        destinations.retire_previous_secret(tenant, destinations.list_all(tenant)[0].id, "ann")

    def remove_destination(self, tenant: str | None) -> None:
        destinations = self.world.services.destinations
        destinations.remove(tenant, destinations.list_all(tenant)[0].id, "ann")

    def create_key(self) -> None:
        self.door.as_(Role.ADMIN).post("/api/v1/keys", json={"name": "new", "role": "viewer"})

    def revoke_key(self) -> None:
        admin = self.door.as_(Role.ADMIN)
        ids = {key["name"]: key["id"] for key in admin.get("/api/v1/keys").json()["items"]}
        admin.delete(f"/api/v1/keys/{ids['auditor']}")

    def configure(self, settings: ProviderSettings) -> None:
        self.world.services.accounts.configure(TENANT, PROVIDER, settings, "ann")

    def run_without_writes(self) -> None:
        change = self.world.submit().bulk_change_id
        self.world.sql("UPDATE m2m.service_provider SET writes_enabled = false")
        with suppress(AccessDeniedError):
            self.world.run(change)


_Told = tuple[AuditKind, str, str, str]
"""Kind, outcome, tenant and actor of an entry."""

DENIED, FAILED = AuditKind.PERMISSION_DENIED, AuditKind.SIGN_IN_FAILED
DESTINATION = AuditKind.DESTINATION_CHANGED
EVENTS: Mapping[str, tuple[Callable[[Stand], object], list[_Told]]] = {
    "an unknown key": (
        lambda at: at.door.with_token("m2m_unknown").get(CHANGES),
        [(FAILED, "DENIED", NOBODY, "key:?")],
    ),
    "a token that does not hold": (
        lambda at: at.door.with_token("a.b.c").get(CHANGES),
        [(FAILED, "DENIED", NOBODY, "oidc:?")],
    ),
    "what no sign-in led to": (
        lambda at: at.stranger.get("/sign-in/callback?code=x&state=y"),
        [(FAILED, "DENIED", NOBODY, "oidc:?")],
    ),
    "a developer under a foreign name": (
        lambda at: at.stranger.post_bare("/sign-in/developer", Host="evil.example", Origin="http://evil.example"),
        [(FAILED, "DENIED", NOBODY, "developer:?")],
    ),
    "a wrong token for the metrics": (
        lambda at: at.metrics("guessed"),
        [(FAILED, "DENIED", NOBODY, "metrics:?")],
    ),
    "the right one, or none": (lambda at: (at.metrics(METRICS), at.door.with_token(None).get("/metrics")), []),
    "a sign-in": (
        lambda at: at.stranger.post_bare("/sign-in/developer", {"tenant": TENANT, "role": "auditor"}),
        [(AuditKind.SIGNED_IN, "SIGNED_IN", TENANT, "developer")],
    ),
    "a role that may not, at the API": (
        lambda at: at.door.as_(Role.VIEWER).get("/api/v1/keys"),
        [(DENIED, "DENIED", TENANT, "key:viewer")],
    ),
    "a role that may not, at the page": (
        lambda at: at.viewer.get("/new"),
        [(DENIED, "DENIED", TENANT, "developer")],
    ),
    "a form from another site": (
        lambda at: at.operator.post("/new", Origin=EVIL),
        [(DENIED, "DENIED", TENANT, "developer")],
    ),
    "a form from another site, of nobody": (
        lambda at: at.stranger.post_bare("/sign-in/developer", Origin=EVIL),
        [(DENIED, "DENIED", NOBODY, "page:?")],
    ),
    "a form without its token": (
        lambda at: at.operator.post_bare("/new"),
        [(DENIED, "DENIED", TENANT, "developer")],
    ),
    "a form with another token": (
        lambda at: at.operator.post_bare("/sign-out", {"form_token": "0" * 64}),
        [(DENIED, "DENIED", TENANT, "developer")],
    ),
    "a new key": (Stand.create_key, [(AuditKind.KEY_CREATED, "STORED", TENANT, "key:admin")]),
    "a revoked key": (Stand.revoke_key, [(AuditKind.KEY_REVOKED, "REVOKED", TENANT, "key:admin")]),
    "its use": (
        lambda at: at.door.as_(Role.AUDITOR).get(CHANGES),
        [(FAILED, "DENIED", TENANT, "key:auditor")],
    ),
    "a changed account": (
        lambda at: at.configure(ProviderSettings(in_flight=3)),
        [(AuditKind.PROVIDER_CONFIGURED, "STORED", TENANT, "ann")],
    ),
    "a changed credential": (
        lambda at: at.configure(ProviderSettings(username="new", api_key="new-5ecret")),
        [
            (AuditKind.PROVIDER_CONFIGURED, "STORED", TENANT, "ann"),
            (AuditKind.CREDENTIAL_CHANGED, "STORED", TENANT, "ann"),
        ],
    ),
    "an account that keeps us out": (
        Stand.run_without_writes,
        [(AuditKind.CARRIER_SIGN_IN_FAILED, "DENIED", TENANT, f"run {OWNER}")],
    ),
    "a tenant's destination": (
        lambda at: at.store_destination(TENANT),
        [(DESTINATION, "STORED", TENANT, "ann")],
    ),
    "its secret": (
        lambda at: at.retire_secret(TENANT),
        [(DESTINATION, "PREVIOUS_SECRET_RETIRED", TENANT, "ann")],
    ),
    "its end": (
        lambda at: at.remove_destination(TENANT),
        [(DESTINATION, "REMOVED", TENANT, "ann")],
    ),
    "the operators' destination": (
        lambda at: at.store_destination(None),
        [(DESTINATION, "STORED", OPERATORS, "ann")],
    ),
    "the secret of theirs": (
        lambda at: at.retire_secret(None),
        [(DESTINATION, "PREVIOUS_SECRET_RETIRED", OPERATORS, "ann")],
    ),
    "the end of theirs": (
        lambda at: at.remove_destination(None),
        [(DESTINATION, "REMOVED", OPERATORS, "ann")],
    ),
}
"""What somebody does, one after the other, and what is told of it."""

KINDS = set(re.findall(r"(\w+) = .*# security:", inspect.getsource(AuditKind)))


@pytest.fixture
def stand(world: World) -> Generator[Stand]:
    settings = {
        "dev_sign_in": True,
        "metrics_token": SecretStr(METRICS),
        "oidc_issuer": "https://login.example.com",
        "oidc_audience": "m2m",
    }
    with ExitStack() as stack:
        door = stack.enter_context(open_door(world, port=0, **settings))
        people = (nobody(door.url), visitor(door.url, Role.VIEWER), visitor(door.url, Role.OPERATOR))
        yield Stand(door, *(stack.enter_context(one) for one in people))


def test_every_security_event_is_told_once_with_whom_it_was_about(stand: Stand) -> None:
    for name, (happen, wanted) in EVENTS.items():
        before = len(told(stand.world))
        happen(stand)
        assert told(stand.world)[before:] == [(kind.value, *rest) for kind, *rest in wanted], name


def test_the_table_names_an_event_of_every_kind() -> None:
    assert {kind.value for _, wanted in EVENTS.values() for kind, *_ in wanted} == KINDS


def told(world: World) -> list[tuple[object, ...]]:
    """Kind, outcome, tenant and actor of each security entry; a key's actor without its number."""
    return world.sql(
        """
        SELECT a.kind, a.outcome, t.name, regexp_replace(a.actor, '^key:[0-9]+:', 'key:')
        FROM m2m.audit_entry a JOIN m2m.tenant t ON t.id = a.tenant_id WHERE a.kind = ANY(%s) ORDER BY a.id
        """,
        sorted(KINDS),
    )


def test_who_sends_foreign_forms_without_end_fills_no_log(stand: Stand) -> None:
    for _ in range(80):
        assert stand.stranger.post_bare("/sign-in/developer", Origin=EVIL).status_code == 403
    written = [entry for entry in told(stand.world) if entry[0] == DENIED]
    assert 30 <= len(written) <= 60  # the minute may turn


def test_an_address_that_no_log_can_show_is_denied_like_any_other(stand: Stand) -> None:
    assert stand.viewer.post("/drafts/%00%1b").status_code == 403
    ((message,),) = stand.world.sql("SELECT message FROM m2m.audit_entry WHERE kind = %s", DENIED)
    assert str(message).startswith("POST /drafts/\ufffd\ufffd: ")
