"""What the page's server refuses, whatever a browser shows or hides."""

import csv
import io
from collections.abc import Generator

import pytest

from m2m_pipeline.domain.permissions import Role
from m2m_pipeline.settings import MissingSettingError
from m2m_pipeline.web.page.installing import ROUTERS
from m2m_pipeline.web.page.route import PageRoute
from m2m_pipeline.web.serving import serve
from m2m_pipeline_tests.page.visitors import Visitor, draft_of, nobody, visitor
from m2m_pipeline_tests.web.door import RIVAL, Door, open_door
from m2m_pipeline_tests.world import TENANT, World

SIGN_IN = "/sign-in/developer"


@pytest.fixture
def operator(door: Door) -> Generator[Visitor]:
    with visitor(door.url) as known:
        yield known


def page_routes(method: str) -> list[str]:
    """Every address of the page that takes the method, made concrete."""
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, PageRoute)]
    found = [route.path for route in routes if method in (route.methods or ())]
    return [path.replace("{bulk_change_id}", "1").replace("{draft}", "x") for path in found]


def test_every_form_needs_its_token_and_its_own_origin(operator: Visitor, world: World) -> None:
    """Generated from the routes, so that a new form cannot be forgotten."""
    world.submit(process_changes=False)
    paths = [path for path in page_routes("POST") if path != SIGN_IN]
    assert len(paths) >= 5
    for path in paths:
        assert operator.post_bare(path).status_code == 403, path
        assert operator.post_bare(path, {"form_token": "0" * 64}).status_code == 403, path
        assert operator.post(path, Origin="https://evil.example").status_code == 403, path
        for unreadable in ("null", "", "http://[", "http://"):
            assert operator.post(path, Origin=unreadable).status_code == 403, path
    assert world.sql("SELECT status FROM m2m.bulk_change") == [("NEW",)]


def test_who_is_not_signed_in_is_sent_to_sign_in_from_everywhere(door: Door) -> None:
    with nobody(door.url) as stranger:
        for path in page_routes("GET"):
            if not path.startswith("/sign-in"):
                answer = stranger.get(path)
                assert answer.status_code == 303, path
                assert answer.headers["Location"].startswith("/sign-in"), path
        for path in page_routes("POST"):
            assert stranger.post_bare(path, Origin="https://evil.example").status_code in {303, 403}, path


def test_a_viewer_is_refused_every_form_and_it_is_in_the_audit_log(door: Door, world: World) -> None:
    world.submit(process_changes=False)
    with visitor(door.url, Role.VIEWER) as viewer:
        for path in page_routes("POST"):
            if path not in {SIGN_IN, "/sign-out"}:
                assert viewer.post(path).status_code == 403, path
    assert world.sql("SELECT status FROM m2m.bulk_change") == [("NEW",)]
    assert world.sql("SELECT count(*) > 0 FROM m2m.audit_entry WHERE kind = 'PERMISSION_DENIED'") == [(True,)]


@pytest.mark.parametrize("role", list(Role))
def test_each_form_does_for_each_role_what_the_permissions_say(door: Door, world: World, role: Role) -> None:
    """Generated from the routes; for another company's things, every role is refused."""
    world.submit(process_changes=False)
    forms = [path for path in page_routes("POST") if path not in {SIGN_IN, "/sign-out"}]
    assert forms
    with visitor(door.url, role, RIVAL) as rival:
        for path in forms:
            status = rival.post(path).status_code
            may = role in {Role.OPERATOR, Role.ADMIN}
            assert status == (403 if not may else 303 if path == "/new" else 404), (path, status)
    assert world.sql("SELECT status FROM m2m.bulk_change") == [("NEW",)]


def test_the_faulty_rows_of_a_draft_are_unarmed_and_nobody_elses(operator: Visitor, door: Door) -> None:
    armed = ["=1+1", "+1", "-1", "@SUM(1)"]
    address = f"{draft_of(operator, *armed)}/rejects.csv"
    rows = list(csv.DictReader(io.StringIO(operator.get(address).text)))
    assert [row["iccid"] for row in rows] == [f"'{one}" for one in armed]
    for role, tenant in ((Role.ADMIN, RIVAL), (Role.OPERATOR, TENANT)):
        with visitor(door.url, role, tenant) as other:
            assert other.get(address).status_code == 404, tenant
    for role in (Role.VIEWER, Role.AUDITOR):
        with visitor(door.url, role) as other:
            assert other.get(address).status_code == 403, role


def test_another_companys_things_are_as_absent_ones(operator: Visitor, door: Door, world: World) -> None:
    own = world.submit(process_changes=False).bulk_change_id
    draft = draft_of(operator, world.iccids[0])
    with visitor(door.url, Role.ADMIN, RIVAL) as rival:
        for path in (f"/changes/{own}", f"/changes/{own}/devices", f"/changes/{own}/events", draft):
            assert rival.get(path).status_code == 404, path
        absent = rival.get("/changes/999").text.replace("999", str(own))
        assert rival.get(f"/changes/{own}").text == absent
        assert rival.post(f"/changes/{own}/start").status_code == 404
        assert rival.post(f"/changes/{own}/withdraw").status_code == 404
        assert rival.post(f"/changes/{own}/retry").status_code == 404
        assert rival.post(draft).status_code == 404


def test_every_answer_has_the_strict_policy(operator: Visitor, world: World) -> None:
    world.submit()
    for path in ("/", "/new", "/changes/1", "/changes/99", "/sims?iccid=x", "/accounts", "/sign-in", "/nowhere"):
        answer = operator.client.get(path, headers={"Accept": "text/html"})
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy, path
        assert "unsafe" not in policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert " style=" not in answer.text
        assert "<script>" not in answer.text


def test_what_people_write_is_shown_and_never_obeyed(operator: Visitor, world: World) -> None:
    text = operator.get(draft_of(operator, "<script>alert(1)</script>", world.iccids[0])).text
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text


def test_a_session_ends_with_the_sign_out_wherever_its_cookie_has_got_to(operator: Visitor) -> None:
    stolen = dict(operator.client.cookies)
    assert operator.post("/sign-out").status_code == 303
    operator.client.cookies.update(stolen)
    assert operator.get("/").headers["Location"] == "/sign-in"


def test_a_session_that_nobody_used_for_hours_has_ended(operator: Visitor, world: World) -> None:
    world.sql("UPDATE m2m.page_session SET last_seen_at = last_seen_at - interval '3 hours'")
    assert operator.get("/").status_code == 303


def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(door: Door, world: World) -> None:
    with nobody(door.url) as stranger:
        told = stranger.post_bare(SIGN_IN, {"tenant": "acme", "role": "viewer"}).headers["Set-Cookie"].lower()
    assert "httponly" in told
    assert "samesite=lax" in told
    assert "secure" not in told, "on one's own machine there is no TLS"
    ((digest,),) = world.sql("SELECT digest FROM m2m.page_session")
    assert bytes(digest).hex() not in told  # pyright: ignore[reportArgumentType] -- bytea


def test_developers_are_let_in_only_where_it_is_switched_on_and_only_on_this_machine(world: World, door: Door) -> None:
    fields = {"tenant": "acme", "role": "admin"}
    with nobody(door.url) as stranger:
        foreign = {"Host": "evil.example", "Origin": "http://evil.example"}
        assert stranger.post_bare(SIGN_IN, fields, **foreign).status_code == 403
        assert "Development" not in stranger.client.get("/sign-in", headers={"Host": "evil.example"}).text
    with open_door(world) as closed, nobody(closed.url) as stranger:
        assert stranger.post_bare(SIGN_IN, fields).status_code == 403
        assert "M2M_OIDC_ISSUER" in stranger.get("/sign-in").text


def test_a_server_that_lets_developers_in_listens_to_this_machine_alone(world: World) -> None:
    settings = world.settings().model_copy(update={"dev_sign_in": True})
    with pytest.raises(MissingSettingError, match="M2M_DEV_SIGN_IN"):
        serve(settings, "0.0.0.0", 0)  # noqa: S104 -- what must be refused


def test_signing_in_leads_to_no_other_site(door: Door) -> None:
    with nobody(door.url) as stranger:
        for wanted in ("//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)"):
            answer = stranger.post_bare(SIGN_IN, {"tenant": "acme", "role": "viewer", "next": wanted})
            assert answer.headers["Location"] == "/", wanted


def test_an_unknown_address_is_a_page_for_people_and_a_document_for_programs(door: Door) -> None:
    client = door.as_()
    assert client.get("/nowhere", headers={"Accept": "text/html"}).headers["Content-Type"].startswith("text/html")
    for path in ("/nowhere", "/api/v1/nowhere"):
        kind = client.get(path, headers={"Accept": "*/*"}).headers["Content-Type"]
        assert kind == "application/problem+json"


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_that_is_too_long_is_refused_with_a_page_to_a_person(world: World, announced: bool) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="sims.csv"\r\n\r\n'
    body = part + b"x" * 3_000_000
    pieces = (body[start : start + 100_000] for start in range(0, len(body), 100_000))
    head = {"Accept": "text/html", "Content-Type": "multipart/form-data; boundary=b"}
    with open_door(world, dev_sign_in=True, max_body_bytes=100_000) as door, visitor(door.url) as operator:
        head["Origin"] = operator.origin
        answer = operator.client.post("/new", content=body if announced else pieces, headers=head)
        assert answer.status_code == 413
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "default-src 'none'; script-src 'self'" in answer.headers["Content-Security-Policy"]
        assert "The body is too long" in answer.text
        assert "At most 100000 bytes are read" in answer.text
        program = operator.client.post("/api/v1/bulk-changes", content=body, headers=head)
        assert program.headers["Content-Type"] == "application/problem+json"


def test_a_form_that_cannot_be_read_is_no_fault_of_ours(operator: Visitor) -> None:
    head = {"Content-Type": "multipart/form-data; boundary=b", "Origin": operator.origin}
    answer = operator.client.post("/new", content=b"no form", headers=head)
    assert answer.status_code == 400
    assert "The form cannot be read" in answer.text


def test_the_page_is_no_part_of_the_api_document(door: Door) -> None:
    paths = door.as_().get("/api/v1/openapi.json").json()["paths"]
    assert not {"/", "/new", "/changes/{bulk_change_id}", "/sign-in"} & set(paths)
