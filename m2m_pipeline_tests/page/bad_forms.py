"""Bad inputs to the page, drawn from a seed: forms and addresses as no browser of ours would send them."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
from hypothesis import strategies as st

from m2m_pipeline_tests.page.visitors import Visitor, nobody, visitor
from m2m_pipeline_tests.web.bad_inputs import TEXT, count, told
from m2m_pipeline_tests.web.door import Door
from m2m_pipeline_tests.world import NEW, PROVIDER

_KNOWN = {200, 303, 400, 403, 404, 409, 413, 422, 429}
_FIELDS = [
    *("provider", "rate_plan", "communication_plan", "effective_date", "batch_size", "priority", "iccids"),
    *("invalid_rows", "start", "form_token", "tenant", "role", "next"),
]
_WORDS = st.one_of(TEXT, st.sampled_from(["", "0", "-1", "1e9", "2026-02-30", "9" * 40, "\0", "//else.example", NEW]))
_FORMS = st.dictionaries(st.sampled_from(_FIELDS) | TEXT, _WORDS, max_size=6)
_NAMES = ["status", "provider", "cursor", "first", "draft", "iccid", "next", "code", "state", "iss"]
_QUESTIONS = st.dictionaries(st.sampled_from(_NAMES) | TEXT, _WORDS, max_size=4)
_PLACES = st.one_of(
    st.sampled_from(["/", "/new", "/accounts", "/sims", "/sign-in", "/sign-in/developer", "/sign-in/callback"]),
    st.tuples(_WORDS, st.sampled_from(["", "/start", "/withdraw", "/retry", "/devices", "/result.csv"])).map(
        lambda parts: f"/changes/{_in_address(parts[0])}{parts[1]}"
    ),
    st.tuples(_WORDS, st.sampled_from(["", "/rejects.csv"])).map(
        lambda parts: f"/drafts/{_in_address(parts[0])}{parts[1]}"
    ),
)


def any_form(door: Door, draw: int) -> int:
    """Whatever a form can hold, over one that holds and alone, signed in and not; how many were sent."""
    with nobody(door.url) as stranger, visitor(door.url) as known:
        token = known.token()

        def send(place: str, fields: dict[str, str]) -> None:
            whole = {"provider": PROVIDER, "rate_plan": NEW, "iccids": door.world.iccids[0], **fields}
            _check(_posted(stranger, place, fields), f"{place} {fields}")
            _check(_posted(known, place, {"form_token": token, **whole}), f"{place} {whole}")

        return 2 * count(st.tuples(_PLACES, _FORMS), draw, send)


def any_address(door: Door, draw: int) -> int:
    """Whatever an address can ask, signed in and not; how many were sent."""
    with nobody(door.url) as stranger, visitor(door.url) as known:

        def send(place: str, asked: dict[str, str]) -> None:
            for who in (stranger, known):
                _check(who.client.get(place, params=_sendable(asked)), f"{place} {asked}")

        return 2 * count(st.tuples(_PLACES, _QUESTIONS), draw, send)


KINDS: tuple[Callable[[Door, int], int], ...] = (any_form, any_address)


def _posted(who: Visitor, place: str, fields: dict[str, str]) -> httpx.Response:
    return who.client.post(place, data=_sendable(fields), headers={"Origin": who.origin})


def _sendable(fields: dict[str, str]) -> dict[str, Any]:
    """Lone surrogates, which no form can send, replaced."""
    return {_encodable(name): _encodable(value) for name, value in fields.items()}


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _in_address(text: str) -> str:
    return quote(_encodable(text), safe="")


def _check(answer: httpx.Response, sent: str) -> None:
    said = f"{answer.request.method} {answer.request.url}: {answer.status_code}"
    assert answer.status_code in _KNOWN | {405}, f"{said} {answer.text}"
    assert not told(answer.text, sent), f"{said} {answer.text}"
    if answer.status_code == 303:
        assert answer.headers["Location"].startswith("/"), said
        assert not answer.headers["Location"].startswith("//"), said
