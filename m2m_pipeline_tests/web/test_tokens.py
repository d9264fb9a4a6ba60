"""Tokens of an OIDC issuer: taken where everything about them holds, and refused otherwise."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Generator

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from m2m_pipeline.web import issuer_keys
from m2m_pipeline_tests.web.door import Door, open_door
from m2m_pipeline_tests.web.issuer import AUDIENCE, EC, RSA, Issuer
from m2m_pipeline_tests.world import World

PROVIDERS = "/api/v1/providers"
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def issuer() -> Generator[Issuer]:
    one = Issuer()
    yield one
    one.close()


@pytest.fixture
def door(world: World, issuer: Issuer) -> Generator[Door]:
    with open_door(world, oidc_issuer=issuer.url, oidc_audience=AUDIENCE) as opened:
        yield opened


def encoded(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def unsigned(issuer: Issuer) -> str:
    return f"{encoded({'alg': 'none', 'kid': 'rsa'})}.{encoded(issuer.claims())}."


def signed_with_the_public_key(issuer: Issuer) -> str:
    """HS256, and the published key for a password."""
    content = f"{encoded({'alg': 'HS256', 'kid': 'rsa'})}.{encoded(issuer.claims())}"
    public = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    mac = hmac.new(public, content.encode(), hashlib.sha256).digest()
    return f"{content}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


REFUSED: dict[str, Callable[[Issuer], str]] = {
    "algorithm none": unsigned,
    "HS256 with the public key": signed_with_the_public_key,
    "an algorithm that is not ours": lambda i: jwt.encode(i.claims(), RSA, "RS512", {"kid": "rsa"}),
    "expired": lambda i: i.token(exp=int(time.time()) - 60),
    "another audience": lambda i: i.token(aud="somebody-else"),
    "another issuer": lambda i: i.token(iss="http://127.0.0.1:1"),
    "not yet": lambda i: i.token(nbf=int(time.time()) + 600),
    "no expiry": lambda i: i.token(exp=None),
    "no audience": lambda i: i.token(aud=None),
    "no subject": lambda i: i.token(sub=None),
    "no issuer": lambda i: i.token(iss=None),
    "an unknown key id": lambda i: i.token("other"),
    "no key id": lambda i: jwt.encode(i.claims(), RSA, "RS256"),
    "a stranger's signature": lambda i: jwt.encode(i.claims(), STRANGER, "RS256", {"kid": "rsa"}),
    "the key of another algorithm": lambda i: i.token("ec"),
    "a changed claim": lambda i: ".".join(
        [(whole := i.token().split("."))[0], encoded(i.claims(role="admin")), whole[2]]
    ),
    "a tenant that does not exist": lambda i: i.token(tenant="nobody"),
    "no tenant": lambda i: i.token(tenant=None),
    "a role that does not exist": lambda i: i.token(role="root"),
    "roles by the list": lambda i: i.token(role=["operator", "admin"]),
    "no text": lambda _: "a.b.c",
    "a subject with control characters": lambda i: i.token(sub="x\n"),
    "endless": lambda i: i.token(more="x" * 10_000),
}


@pytest.mark.parametrize(("key", "algorithm", "key_id"), [(RSA, "RS256", "rsa"), (EC, "ES256", "ec")])
def test_a_token_that_holds_lets_in_as_tenant_role_and_subject(
    door: Door, issuer: Issuer, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, algorithm: str, key_id: str
) -> None:
    client = door.with_token(jwt.encode(issuer.claims(), key, algorithm, {"kid": key_id}))
    assert client.get(PROVIDERS).status_code == 200
    recorded = client.post("/api/v1/bulk-changes", json=door.request()).json()
    assert recorded["requested_by"] == "oidc:u1"
    assert client.get("/api/v1/keys").status_code == 403


@pytest.mark.parametrize("name", REFUSED)
def test_a_token_that_does_not_hold_is_refused(door: Door, issuer: Issuer, name: str) -> None:
    answer = door.with_token(REFUSED[name](issuer)).get(PROVIDERS)
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:m2m:problem:not-signed-in")
    assert door.world.sql("SELECT count(*) FROM m2m.audit_entry WHERE kind = 'SIGN_IN_FAILED'") == [(1,)]


def test_keys_go_on_beside_tokens(door: Door) -> None:
    assert door.as_().get(PROVIDERS).status_code == 200


def test_unknown_key_ids_do_not_make_us_ask_the_issuer_again_and_again(door: Door, issuer: Issuer) -> None:
    for number in range(20):
        door.with_token(issuer.token(f"other{number}")).get(PROVIDERS)
    assert door.with_token(issuer.token()).get(PROVIDERS).status_code == 200
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]


def test_a_new_key_of_the_issuer_is_found_and_one_that_it_has_withdrawn_is_not_taken(
    door: Door, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, renewed = issuer.token(), issuer.token("new")
    assert door.with_token(token).get(PROVIDERS).status_code == 200
    issuer.keys = [{**issuer.keys[0], "kid": "new"}]
    assert door.with_token(renewed).get(PROVIDERS).status_code == 401

    monkeypatch.setattr(issuer_keys, "REFETCH_SECONDS", 0.0)
    assert door.with_token(renewed).get(PROVIDERS).status_code == 200
    assert door.with_token(token).get(PROVIDERS).status_code == 401


def test_while_the_issuer_does_not_answer_its_last_keys_are_taken_for_a_while(
    door: Door, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, unknown = issuer.token(), issuer.token("new")
    assert door.with_token(token).get(PROVIDERS).status_code == 200
    issuer.answers = False
    monkeypatch.setattr(issuer_keys, "REFETCH_SECONDS", 0.0)
    monkeypatch.setattr(issuer_keys, "FRESH_SECONDS", 0.0)

    assert door.with_token(token).get(PROVIDERS).status_code == 200
    assert door.with_token(unknown).get(PROVIDERS).status_code == 503
    monkeypatch.setattr(issuer_keys, "STALE_SECONDS", 0.0)
    assert door.with_token(token).get(PROVIDERS).status_code == 503


def test_an_issuer_that_is_away_from_the_start_lets_nobody_in_and_breaks_nothing(world: World, issuer: Issuer) -> None:
    away = "http://127.0.0.1:9/keys"
    with open_door(world, oidc_issuer=issuer.url, oidc_audience=AUDIENCE, oidc_jwks_url=away) as door:
        refused = door.with_token(issuer.token()).get(PROVIDERS)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "60")
        assert refused.json()["type"] == "urn:m2m:problem:issuer-unavailable"
        assert door.as_().get(PROVIDERS).status_code == 200


def test_keys_that_the_issuer_publishes_where_they_could_be_swapped_on_their_way_are_not_taken(
    door: Door, issuer: Issuer
) -> None:
    other_name = "0.0.0.0"  # noqa: S104 - of the same server, and not loopback's
    issuer.keys_at = issuer.keys_at.replace("127.0.0.1", other_name)
    assert door.with_token(issuer.token()).get(PROVIDERS).status_code == 503
    assert issuer.asked == ["/.well-known/openid-configuration"]
