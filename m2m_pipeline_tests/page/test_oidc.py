"""Signing in at an OpenID Connect issuer: in where everything holds, and out where anything does not."""

import socket
from collections.abc import Generator

import httpx
import pytest
from pydantic import SecretStr

from m2m_pipeline_tests.page.issuer import CLIENT_ID, CLIENT_SECRET, Issuer
from m2m_pipeline_tests.page.visitors import Visitor, nobody
from m2m_pipeline_tests.web.door import Door, open_door
from m2m_pipeline_tests.world import World


@pytest.fixture
def issuer() -> Generator[Issuer]:
    one = Issuer()
    yield one
    one.close()


@pytest.fixture
def door(world: World, issuer: Issuer) -> Generator[Door]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    changed = {
        "oidc_issuer": issuer.url,
        "oidc_client_id": CLIENT_ID,
        "oidc_client_secret": SecretStr(CLIENT_SECRET),
        "public_url": f"http://127.0.0.1:{port}",
    }
    with open_door(world, port=port, **changed) as opened:
        yield opened


@pytest.fixture
def stranger(door: Door) -> Generator[Visitor]:
    with nobody(door.url) as known:
        yield known


def sign_in(stranger: Visitor, wanted: str = "/accounts") -> httpx.Response:
    """To the issuer and back; the page's answer to what the browser brings from there."""
    away = stranger.client.get("/sign-in/oidc", params={"next": wanted})
    assert away.status_code == 303
    back = httpx.get(away.headers["Location"], trust_env=False)
    return stranger.client.get(back.headers["Location"])


def test_who_signs_in_at_the_issuer_is_in_and_where_they_wanted_to_go(stranger: Visitor, world: World) -> None:
    answer = sign_in(stranger)
    assert answer.headers["Location"] == "/accounts"
    text = stranger.get("/accounts").text
    assert "Ada" in text
    assert "acme · viewer" in text
    ((actor, outcome),) = world.sql("SELECT actor, outcome FROM m2m.audit_entry WHERE kind = 'SIGNED_IN'")
    assert (actor, outcome) == ("oidc:u1", "SIGNED_IN")


WRONG: list[dict[str, object]] = [
    {"aud": "another-client"},
    {"iss": "https://evil.example"},
    {"exp": 1},
    {"nonce": "another"},
    {"nonce": None},
    {"tenant": "nowhere"},
    {"role": "emperor"},
    {"sub": None},
]


def test_a_token_that_does_not_hold_lets_nobody_in(stranger: Visitor, issuer: Issuer, world: World) -> None:
    for wrong in WRONG:
        issuer.claims = wrong
        answer = sign_in(stranger)
        assert answer.status_code == 403, wrong
        assert "You were not signed in" in answer.text
    assert world.count("page_session") == 0
    assert world.sql("SELECT count(*) FROM m2m.audit_entry WHERE kind = 'SIGN_IN_FAILED'") == [(len(WRONG),)]


def test_a_code_that_another_browser_began_with_lets_nobody_in(stranger: Visitor, door: Door, world: World) -> None:
    """Else somebody could have their victim work in their own session."""
    away = stranger.get("/sign-in/oidc")
    back = httpx.get(away.headers["Location"], trust_env=False).headers["Location"]
    with nobody(door.url) as victim:
        assert victim.get(back).status_code == 403
        victim.get("/sign-in/oidc")
        assert victim.get(back).status_code == 403
    assert world.count("page_session") == 0
    assert stranger.get(back).status_code == 303
    assert stranger.get(back).status_code == 403, "once is enough"


def test_an_issuer_that_is_away_is_told_and_breaks_nothing(stranger: Visitor, issuer: Issuer, world: World) -> None:
    """Before the browser is sent there, and after it came back: nobody did anything wrong, and trying again helps."""
    away = stranger.get("/sign-in/oidc")
    back = httpx.get(away.headers["Location"], trust_env=False).headers["Location"]
    issuer.close()
    for answer in (stranger.get("/sign-in/oidc"), stranger.get(back)):
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
        assert "does not answer" in answer.text
    assert world.sql("SELECT count(*) FROM m2m.audit_entry WHERE kind = 'SIGN_IN_FAILED'") == [(0,)]


def test_the_cookie_travels_over_tls_alone_where_the_page_is_public(world: World, issuer: Issuer) -> None:
    changed = {"oidc_issuer": issuer.url, "oidc_client_id": CLIENT_ID, "public_url": "https://m2m.example.com"}
    with open_door(world, port=0, **changed) as opened, nobody(opened.url) as known:
        answer = known.get("/sign-in/oidc")
    cookies = answer.headers.get_list("Set-Cookie")
    assert cookies
    for cookie in cookies:
        assert cookie.startswith("__Host-")
        assert "Secure" in cookie
        assert "Path=/;" in cookie
        assert "Domain" not in cookie
