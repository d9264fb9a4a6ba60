"""Making an API key over HTTP: what cannot be read of it is told with its place, and little is read."""

import pytest

from m2m_pipeline.domain.permissions import Role
from m2m_pipeline_tests.web.door import Door
from m2m_pipeline_tests.web.test_limits import problem

KEYS = "/api/v1/keys"
JSON = {"Content-Type": "application/json"}


def test_everything_that_is_wrong_with_a_key_is_told_where_it_is(door: Door) -> None:
    admin = door.as_(Role.ADMIN)
    answer = admin.post(KEYS, json={"role": "emperor", "a/b": 1})
    assert problem(answer) == (400, "invalid-request")
    assert [(error["pointer"], error["value"]) for error in answer.json()["errors"]] == [
        ("/name", None),
        ("/role", "emperor"),
        ("/a~1b", "1"),
    ]
    assert len(admin.get(KEYS).json()["items"]) == len(Role)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"name": "ci", ', b"\xff"])
def test_what_is_no_json_object_is_told_without_a_place_in_it(door: Door, content: bytes) -> None:
    answer = door.as_(Role.ADMIN).post(KEYS, content=content, headers=JSON)
    assert problem(answer)[0] == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == [None]


def test_a_key_is_asked_for_with_little_json(door: Door) -> None:
    admin = door.as_(Role.ADMIN)
    assert problem(admin.post(KEYS, content=b" " * 20_000, headers=JSON)) == (413, "request-too-large")
    assert problem(admin.post(KEYS, content=b"name=ci")) == (415, "unsupported-media-type")
    assert admin.post(KEYS, json={"name": " ci ", "role": "viewer"}).json()["name"] == "ci"
