"""What one client may ask: each limit has its own clear error, and nothing is half-written."""

import time
from collections.abc import Iterator

import httpx
import psycopg
import pytest

from m2m_pipeline.domain.permissions import Role
from m2m_pipeline.local.postgres import EmbeddedPostgres
from m2m_pipeline.storage.connections import CONNECT_TIMEOUT_SECONDS
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.web.door import Door, open_door
from m2m_pipeline_tests.world import NEW, PROVIDER, Options, World

CHANGES = "/api/v1/bulk-changes"


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["type"].removeprefix("urn:m2m:problem:")


def test_a_body_that_is_too_long_is_refused_announced_or_not(world: World) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 1000

    json_type = {"Content-Type": "application/json"}
    form_type = {"Content-Type": "multipart/form-data; boundary=b"}
    with open_door(world, max_body_bytes=10_000) as door:
        client = door.as_()
        assert problem(client.post(CHANGES, content=b" " * 10_001, headers=json_type))[0] == 413
        assert problem(client.post(CHANGES, content=endless(), headers=json_type))[0] == 413
        assert problem(client.post(CHANGES, content=endless(), headers=form_type))[0] == 413
        assert problem(door.as_(Role.ADMIN).post("/api/v1/keys", content=endless(), headers=json_type))[0] == 413
        assert client.post(CHANGES, json=door.request()).status_code == 202


def test_a_key_that_asks_too_often_is_told_when_to_come_back(world: World) -> None:
    with open_door(world, requests_per_second=1.0) as door:
        answers = [door.as_().get(CHANGES) for _ in range(12)]
        assert [answer.status_code for answer in answers[:10]] == [200] * 10
        assert problem(answers[-1]) == (429, "too-many-requests")
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert door.as_(Role.VIEWER).get(CHANGES).status_code == 200


@pytest.mark.parametrize(
    ("method", "address", "content", "status"),
    [
        ("GET", f"{CHANGES}?limit=501", None, 400),
        ("GET", f"{CHANGES}?limit=0", None, 400),
        ("GET", f"{CHANGES}?status=NO", None, 400),
        ("GET", f"{CHANGES}?provider=a%00b", None, 400),
        ("GET", f"{CHANGES}?created_from=yesterday", None, 400),
        ("GET", f"{CHANGES}/0", None, 400),
        ("GET", f"{CHANGES}/9223372036854775808", None, 400),
        ("GET", f"{CHANGES}/x", None, 400),
        ("GET", "/api/v1/devices/12/history", None, 400),
        ("GET", "/api/v1/devices/8988216716970000%D9%A1/history", None, 400),
        ("GET", "/api/v1/nothing", None, 404),
        ("PUT", CHANGES, None, 405),
        ("POST", CHANGES, b"{", 400),
        ("POST", CHANGES, b"[]", 400),
        ("POST", CHANGES, b'{"rate_plan": "\\ud800"}', 400),
        ("POST", CHANGES, b'{"rate_plan": NaN}', 400),
        ("POST", CHANGES, b'{"priority": 1' + b"0" * 5000 + b"}", 400),
        ("POST", CHANGES, b"[" * 100_000, 400),
        ("POST", CHANGES, b'{"provider": "' + b"x" * 201 + b'"}', 400),
        ("POST", CHANGES, b"\xff\xfe{}", 400),
    ],
)
def test_what_cannot_be_read_is_a_problem_with_its_place(
    door: Door, method: str, address: str, content: bytes | None, status: int
) -> None:
    answer = door.as_().request(method, address, content=content, headers={"Content-Type": "application/json"})
    assert problem(answer)[0] == status, answer.text
    assert len(answer.content) < 3_000


def test_only_json_and_forms_are_taken(door: Door) -> None:
    answer = door.as_().post(CHANGES, content=b"iccid", headers={"Content-Type": "text/csv"})
    assert problem(answer) == (415, "unsupported-media-type")
    assert problem(door.as_().post(CHANGES)) == (415, "unsupported-media-type")


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"other": ("a.csv", b"iccid\n1", "text/csv")},
        {"file": ("a.csv", b"\xff\xff", "text/csv")},
        {"file": ("a.csv", b"", "text/csv")},
        {"file": ("a.xlsx", b"PK\x03\x04\x00\x00", "application/octet-stream")},
    ],
)
def test_a_form_without_a_file_that_can_be_read_is_refused(
    door: Door, files: dict[str, tuple[str, bytes, str]]
) -> None:
    answer = door.as_().post(CHANGES, data={"provider": PROVIDER, "rate_plan": NEW}, files=files or None)
    assert problem(answer)[0] in {400, 415}


def test_more_devices_than_the_tenant_may_send_are_refused(door: Door) -> None:
    door.world.sql("UPDATE m2m.tenant SET max_devices = 2")
    answer = door.as_().post(CHANGES, json=door.request())
    assert [error["code"] for error in answer.json()["errors"]] == ["TOO_MANY_DEVICES"]


def test_no_answer_may_be_kept_framed_or_read_by_another_origin(door: Door) -> None:
    answer = door.as_().get(CHANGES, headers={"Origin": "https://evil.example"})
    assert answer.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_without_the_database_it_is_503_and_when_to_come_back(world: World, postgres_server: EmbeddedPostgres) -> None:
    name = world.database_url.rpartition("/")[2]
    with open_door(world) as door:
        admin = world.database_url.replace("+psycopg", "").rpartition("/")[0] + "/postgres"
        _say(admin, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        _say(admin, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        try:
            asked_at = time.monotonic()
            answer = door.as_().post(CHANGES, json=door.request())
            assert time.monotonic() - asked_at < CONNECT_TIMEOUT_SECONDS, "a person waits, so nothing is tried again"
            assert problem(answer) == (503, "database-unavailable")
            assert answer.headers["retry-after"] == "5"
            assert door.with_token(None).get("/readyz").status_code == 503
            assert door.with_token(None).get("/healthz").status_code == 200
        finally:
            _say(admin, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        assert world.count("bulk_change") == 0
        assert door.as_().post(CHANGES, json=door.request()).status_code == 202
    assert postgres_server.port


def test_a_large_file_is_recorded_whole_or_not_at_all(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=1))
    iccids = [f"8988216716{number:09}" for number in range(1, 20_001)]
    world.import_devices(iccids)
    content = "\n".join(["iccid", *iccids]).encode()
    fields = {"provider": PROVIDER, "rate_plan": NEW}
    with open_door(world) as door:
        bad = door.as_().post(CHANGES, data=fields, files={"file": ("a.csv", content + b"\n12", "text/csv")})
        assert bad.status_code == 400
        assert world.count("bulk_change") == 0
        answer = door.as_().post(CHANGES, data=fields, files={"file": ("a.csv", content, "text/csv")})
    assert (answer.status_code, answer.json()["devices"]) == (202, 20_000)
    assert world.count("device_change") == 20_000


def _say(address: str, statement: str) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(statement.encode())
