"""About a thousand bad inputs: no answer 500, none that the document does not know, and no trace, SQL or secret."""

import io
import json
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from m2m_pipeline.domain.permissions import Role
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.web.door import Door, open_door
from m2m_pipeline_tests.world import API_KEY, NEW, PROVIDER

CHANGES = "/api/v1/bulk-changes"
FORBIDDEN = ("Traceback", "SELECT ", "INSERT ", "psycopg", "sqlalchemy", 'File "', API_KEY, "ciphertext")
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = settings(
    max_examples=250,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
KNOWN = {200, 202, 400, 413, 415, 422, 429}
TEXT = st.text(max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture
def door(make_world: MakeWorld) -> Generator[Door]:
    with open_door(make_world(), requests_per_second=100_000.0) as opened:
        opened.world.sql("UPDATE m2m.tenant SET max_open_changes = 1000000")
        yield opened


def told(answer: str, sent: str) -> list[str]:
    """The words of ours in an answer; one that the client sent itself may come back to it."""
    return [word for word in FORBIDDEN if word in answer and word not in sent]


def clean(answer: httpx.Response, sent: str) -> None:
    assert not told(answer.text, sent), answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code


def test_what_the_document_says_is_true_whatever_is_sent(door: Door) -> None:
    headers = {"Authorization": f"Bearer {door.keys['acme', Role.ADMIN]}"}
    schema = schemathesis.openapi.from_url(f"{door.url}/api/v1/openapi.json")
    answered: list[str] = []
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        if operation.path.endswith("/events"):
            continue  # a stream does not end by itself
        for mode in schemathesis.GenerationMode:

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(EXAMPLES, max_examples=8)
            def try_it(case: schemathesis.Case[Any]) -> None:
                answered.append(case.operation.path)
                answer = case.call(base_url=door.url, headers=headers, timeout=30)
                case.validate_response(answer, checks=CHECKS)
                sent = f"{answer.request.url} {answer.request.headers} {answer.request.body!r}"
                assert not told(answer.text, sent), answer.text

            with suppress(Unsatisfiable):  # an operation that takes nothing can be asked nothing wrong
                try_it()
    assert len(answered) >= 150


def test_any_json_is_answered_with_words(door: Door) -> None:
    names = ["provider", "rate_plan", "devices", "effective_date", "batch_size", "priority", "idempotency_key"]
    legacy = ["ServiceProviderId", "ChangeType", "Devices", "CarrierRatePlanUpdate", "invalid_rows", "process_changes"]

    @given(st.dictionaries(st.sampled_from([*names, *legacy]) | TEXT, VALUES, max_size=6), st.booleans())
    @EXAMPLES
    def send(content: dict[str, object], over_good: bool) -> None:
        whole = {**door.request(), **content} if over_good else content
        body = json.dumps(whole).encode()
        for address in (CHANGES, f"{CHANGES}/validate"):
            answer = door.as_().post(address, content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code in KNOWN, answer.text
            clean(answer, body.decode())

    send()


def test_any_file_is_answered_with_words(door: Door) -> None:
    cells = st.one_of(st.sampled_from([*door.world.iccids, "8.98E+18", '"', ";", "\0", "=1", ""]), TEXT)
    table = st.lists(st.lists(cells, max_size=3).map(",".join), max_size=6).map("\n".join)
    headed = st.tuples(st.sampled_from(["iccid\n", "SIM;x\r\n", "\ufeffICCID\n", ""]), table).map("".join)
    files = st.one_of(headed.map(lambda text: text.encode("utf-8", "surrogatepass")), st.binary(max_size=60))

    @given(files, TEXT)
    @EXAMPLES
    def send(content: bytes, plan: str) -> None:
        answer = door.as_().post(
            CHANGES,
            data={"provider": PROVIDER, "rate_plan": plan.encode("utf-8", "replace").decode() or NEW},
            files={"file": ("sims.csv", io.BytesIO(content), "text/csv")},
        )
        assert answer.status_code in KNOWN, answer.text
        clean(answer, f"{content!r} {plan}")

    send()
