"""Bad inputs, drawn from a seed, and what every answer must be: known to the document, worded by us, never a 500.

Each function returns how many inputs it sent, and raises AssertionError with the smallest one that is answered wrongly.
"""

import io
import json
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from m2m_pipeline.domain.permissions import Role
from m2m_pipeline_tests.web.door import Door, open_door
from m2m_pipeline_tests.world import API_KEY, NEW, PROVIDER, TENANT, World

_CHANGES = "/api/v1/bulk-changes"
_FORBIDDEN = ("Traceback", "SELECT ", "INSERT ", "psycopg", "sqlalchemy", 'File "', API_KEY, "ciphertext")
_CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
_KNOWN = {200, 202, 400, 413, 415, 422, 429}
_DRAWN = settings(
    max_examples=260,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
TEXT = st.text(max_size=30)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)
_NAMES = ["provider", "rate_plan", "devices", "effective_date", "batch_size", "priority", "idempotency_key"]
_FORMER_NAMES = ["ServiceProviderId", "ChangeType", "Devices", "CarrierRatePlanUpdate", "invalid_rows"]
_FIELDS = st.dictionaries(st.sampled_from([*_NAMES, *_FORMER_NAMES, "process_changes"]) | TEXT, _VALUES, max_size=6)


@contextmanager
def wide_door(world: World) -> Generator[Door]:
    """A front door that nobody is too much for."""
    with open_door(world, requests_per_second=100_000.0, dev_sign_in=True) as opened:
        world.sql("UPDATE m2m.tenant SET max_open_changes = 1000000")
        yield opened


def told(answer: str, sent: str) -> list[str]:
    """The words of ours in an answer; one that the client sent itself may come back to it."""
    return [word for word in _FORBIDDEN if word in answer and word not in sent]


def against_the_document(door: Door, draw: int) -> int:
    """What the document allows, and what it does not, at each of its operations."""
    schema = schemathesis.openapi.from_url(f"{door.url}/api/v1/openapi.json")
    sent = 0
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        if not operation.path.endswith("/events"):  # a stream does not end by itself
            sent += sum(_at(door, operation, mode, draw) for mode in schemathesis.GenerationMode)
    return sent


def _at(door: Door, operation: APIOperation[Any, Any, Any, Any], mode: schemathesis.GenerationMode, draw: int) -> int:
    # One of the operations revokes keys: each has a fresh one.
    key = door.world.services.identity.create_key(TENANT, operation.label, Role.ADMIN, "test").secret
    sent = 0

    @seed(draw)
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(_DRAWN, max_examples=8)
    def try_it(case: schemathesis.Case[Any]) -> None:
        nonlocal sent
        sent += 1
        answer = case.call(base_url=door.url, headers={"Authorization": f"Bearer {key}"}, timeout=30)
        case.validate_response(answer, checks=_CHECKS)
        said = f"{answer.request.url} {answer.request.headers} {answer.request.body!r}"
        assert not told(answer.text, said), answer.text

    with suppress(Unsatisfiable):  # an operation that takes nothing can be asked nothing wrong
        try_it()
    return sent


def any_json(door: Door, draw: int) -> int:
    """Whatever JSON can hold, alone or over a request that holds, and what is no JSON at all."""
    whole = _FIELDS.map(json.dumps) | _FIELDS.map(lambda fields: json.dumps({**door.request(), **fields}))
    bodies = whole.map(str.encode) | _VALUES.map(json.dumps).map(str.encode) | st.binary(max_size=60)

    def send(body: bytes) -> None:
        for address in (_CHANGES, f"{_CHANGES}/validate"):
            answer = door.as_().post(address, content=body, headers={"Content-Type": "application/json"})
            _check(answer, body.decode(errors="replace"))

    return 2 * count(st.tuples(bodies), draw, send)


def any_file(door: Door, draw: int) -> int:
    """Tables of cells as people and spreadsheets make them, and bytes that are none."""
    cells = st.one_of(st.sampled_from([*door.world.iccids, "8.98E+18", '"', ";", "\0", "=1", ""]), TEXT)
    table = st.lists(st.lists(cells, max_size=3).map(",".join), max_size=6).map("\n".join)
    headed = st.tuples(st.sampled_from(["iccid\n", "SIM;x\r\n", "\ufeffICCID\n", ""]), table).map("".join)
    files = st.one_of(headed.map(lambda text: text.encode("utf-8", "surrogatepass")), st.binary(max_size=60))

    def send(content: bytes, plan: str) -> None:
        answer = door.as_().post(
            _CHANGES,
            data={"provider": PROVIDER, "rate_plan": plan.encode("utf-8", "replace").decode() or NEW},
            files={"file": ("sims.csv", io.BytesIO(content), "text/csv")},
        )
        _check(answer, f"{content!r} {plan}")

    return count(st.tuples(files, TEXT), draw, send)


KINDS = (against_the_document, any_json, any_file)


def count(inputs: st.SearchStrategy[tuple[Any, ...]], draw: int, send: Callable[..., None]) -> int:
    """Send what is drawn; how many inputs that were."""
    sent = 0

    @seed(draw)
    @given(inputs)
    @_DRAWN
    def try_it(one: tuple[Any, ...]) -> None:
        nonlocal sent
        sent += 1
        send(*one)

    try_it()
    return sent


def _check(answer: httpx.Response, sent: str) -> None:
    assert answer.status_code in _KNOWN, answer.text
    assert not told(answer.text, sent), answer.text
    if answer.is_error:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code
