"""Who may do what, tried for every operation of the OpenAPI document: one that is new cannot be forgotten."""

from collections.abc import Generator, Iterator
from itertools import product
from typing import Any

import pytest

from m2m_pipeline.domain.iccid import shortened
from m2m_pipeline.domain.permissions import GRANTS, Permission, Role
from m2m_pipeline.web.application import build_app
from m2m_pipeline_tests.web.door import RIVAL, Door, open_door
from m2m_pipeline_tests.world import TENANT, World

OPEN_TO_ALL = {"isAlive", "isReady", "getMetrics"}
ABSENT = 999_999_999
METHODS = {"get", "post", "put", "patch", "delete"}
UNKNOWN_ICCID = "8988216716979999999"


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method in METHODS & methods.keys():
            yield method.upper(), path, methods[method]


def address(path: str, bulk_change: object, key: object, iccid: object) -> str:
    return path.format(bulk_change_id=bulk_change, key_id=key, iccid=iccid)


@pytest.fixture
def opened(world: World) -> Generator[tuple[Door, dict[str, Any]]]:
    with open_door(world, requests_per_second=10_000.0) as door:
        yield door, door.with_token(None).get("/api/v1/openapi.json").json()


def test_every_operation_asks_for_a_permission_of_the_table(world: World) -> None:
    """Deny by default begins here: an endpoint without a permission is a mistake."""
    document = build_app(world.services, world.settings()).openapi()
    asked = {operation["operationId"]: operation.get("x-permission") for _, _, operation in operations(document)}
    assert {name for name, permission in asked.items() if permission is None} == OPEN_TO_ALL
    assert {permission for permission in asked.values() if permission} == set(Permission)


def test_without_a_key_or_with_a_wrong_one_nothing_opens(opened: tuple[Door, dict[str, Any]]) -> None:
    door, document = opened
    head = {"Content-Type": "application/json"}  # what is no JSON is told to nobody: a stranger's body is not read
    for token in (None, "m2m_unknown", "eyJhbGciOiJub25lIn0.e30."):
        for method, path, operation in operations(document):
            if operation["operationId"] not in OPEN_TO_ALL:
                there = address(path, 1, 1, UNKNOWN_ICCID)
                answer = door.with_token(token).request(method, there, content=b"{", headers=head)
                assert answer.status_code == 401, (method, path)
                assert answer.headers["www-authenticate"].startswith("Bearer")


def test_every_operation_refuses_a_body_that_is_too_long_and_its_document_says_so(world: World) -> None:
    with open_door(world, max_body_bytes=10) as door:
        stranger = door.with_token(None)
        for method, path, operation in operations(stranger.get("/api/v1/openapi.json").json()):
            answer = stranger.request(method, address(path, 1, 1, UNKNOWN_ICCID), content=b" " * 11)
            assert (answer.status_code, "413" in operation["responses"]) == (413, True), (method, path)


def test_each_role_may_do_what_the_table_grants_and_nothing_else(opened: tuple[Door, dict[str, Any]]) -> None:
    door, document = opened
    change = door.world.submit(process_changes=False).bulk_change_id
    tried: set[str] = set()
    for role in Role:
        for method, path, operation in operations(document):
            permission = operation.get("x-permission")
            if permission is None or operation["operationId"] == "followBulkChange":
                continue  # a stream that is open does not end; its permission is that of the others
            answer = door.as_(role).request(method, address(path, change, ABSENT, door.world.iccids[0]), json={})
            tried.add(operation["operationId"])
            granted = Permission(permission) in GRANTS[role]
            assert (answer.status_code != 403) is granted, (role, method, path, answer.text)
            if not granted:
                assert answer.json()["type"] == "urn:m2m:problem:permission-denied"
    assert len(tried) >= 12


def test_what_is_anothers_is_told_like_what_does_not_exist(opened: tuple[Door, dict[str, Any]]) -> None:
    door, document = opened
    change = door.world.submit(process_changes=False).bulk_change_id
    key = door.world.services.identity.list_keys(TENANT)[0].id
    looked_at: set[str] = set()
    about_one = [one for one in operations(document) if "{" in one[1]]
    for role, (method, path, operation) in product(Role, about_one):
        client = door.as_(role, RIVAL)
        others = client.request(method, address(path, change, key, door.world.iccids[0]))
        absent = client.request(method, address(path, ABSENT, ABSENT, UNKNOWN_ICCID))
        status = 404 if Permission(operation["x-permission"]) in GRANTS[role] else 403
        assert (others.status_code, absent.status_code) == (status, status), (role, path)
        own_words = others.text.replace(shortened(door.world.iccids[0]), "X")
        names = {"bulk change": (change, ABSENT), "key": (key, ABSENT)}
        for noun, (there, gone) in names.items():
            own_words = own_words.replace(f"{noun} {there} ", f"{noun} {gone} ")
        assert own_words == absent.text.replace(shortened(UNKNOWN_ICCID), "X")
        looked_at.add(path)
    assert len(looked_at) >= 7
    assert door.world.sql("SELECT status FROM m2m.bulk_change") == [("NEW",)]
    assert door.world.sql("SELECT count(*) FROM m2m.api_key WHERE revoked_at IS NOT NULL") == [(0,)]


def test_lists_show_nothing_of_another_tenant(opened: tuple[Door, dict[str, Any]]) -> None:
    door, document = opened
    door.world.submit()
    for method, path, operation in operations(document):
        if method == "GET" and "{" not in path and operation.get("x-permission"):
            answer = door.as_(Role.ADMIN, RIVAL).get(path)
            assert answer.status_code == 200
            for word in (*door.world.iccids, "att", "acme"):
                assert word not in answer.text


def test_security_events_are_in_the_audit_log(opened: tuple[Door, dict[str, Any]]) -> None:
    door, _ = opened
    admin = door.as_(Role.ADMIN)
    made = admin.post("/api/v1/keys", json={"name": "ci", "role": "operator"}).json()
    assert door.with_token(made["secret"]).get("/api/v1/bulk-changes").status_code == 200
    assert admin.get("/api/v1/keys").json()["items"][-1]["last_used_at"]
    assert made["secret"] not in admin.get("/api/v1/keys").text
    assert admin.delete(f"/api/v1/keys/{made['id']}").status_code == 200
    assert door.with_token(made["secret"]).get("/api/v1/bulk-changes").status_code == 401
    assert door.with_token("m2m_unknown").get("/api/v1/bulk-changes").status_code == 401
    door.as_(Role.VIEWER).post("/api/v1/keys", json={"name": "x", "role": "admin"})
    told = door.world.sql(
        """
        SELECT a.kind, a.outcome, t.name, a.actor FROM m2m.audit_entry a JOIN m2m.tenant t ON t.id = a.tenant_id
        WHERE a.kind IN ('KEY_CREATED', 'KEY_REVOKED', 'SIGN_IN_FAILED', 'PERMISSION_DENIED') AND a.actor <> 'test'
        ORDER BY a.id
        """
    )
    shortened = [(kind, outcome, tenant, str(actor).rpartition(":")[2]) for kind, outcome, tenant, actor in told]
    assert shortened == [
        ("KEY_CREATED", "STORED", TENANT, "admin"),
        ("KEY_REVOKED", "REVOKED", TENANT, "admin"),
        ("SIGN_IN_FAILED", "DENIED", TENANT, "ci"),
        ("SIGN_IN_FAILED", "DENIED", "(nobody)", "?"),
        ("PERMISSION_DENIED", "DENIED", TENANT, "viewer"),
    ]
    assert made["secret"] not in str(door.world.sql("SELECT * FROM m2m.audit_entry"))
    assert made["secret"] not in str(door.world.sql("SELECT * FROM m2m.api_key"))


def test_who_knocks_without_end_fills_no_log_and_hides_no_tenants_events(opened: tuple[Door, dict[str, Any]]) -> None:
    door, _ = opened
    for number in range(80):
        door.with_token(None).get("/api/v1/providers", headers={"Authorization": f"Bearer m2m_{number}"})
    written = door.world.sql("SELECT count(*) FROM m2m.audit_entry WHERE kind = 'SIGN_IN_FAILED'")
    assert 30 <= int(str(written[0][0])) <= 60  # the minute may turn
    revoked = door.world.services.identity.create_key(TENANT, "left", Role.VIEWER, "test")
    door.world.services.identity.revoke_key(TENANT, revoked.key.id, "test")
    assert door.with_token(revoked.secret).get("/api/v1/providers").status_code == 401
    seen = "SELECT t.name FROM m2m.audit_entry a JOIN m2m.tenant t ON t.id = a.tenant_id WHERE a.actor = 'key:{}:left'"
    assert door.world.sql(f"{seen.format(revoked.key.id)} AND a.kind = 'SIGN_IN_FAILED'") == [(TENANT,)]
