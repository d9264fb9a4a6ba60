"""An issuer that takes connections and does not answer holds up nobody who can do without it, and few who cannot."""

import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from itertools import islice

import httpx
import pytest

from m2m_pipeline.web import issuer as our_issuer
from m2m_pipeline.web import issuer_keys
from m2m_pipeline.web.issuer import AT_ONCE
from m2m_pipeline_tests.web.door import Door, open_door
from m2m_pipeline_tests.web.issuer import AUDIENCE, Issuer
from m2m_pipeline_tests.world import World

PROVIDERS = "/api/v1/providers"
CROWD = 50
"""More than the 40 threads in which requests are answered."""


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Generator[Issuer]:
    monkeypatch.setattr(issuer_keys, "REFETCH_SECONDS", 0.0)
    one = Issuer()
    yield one
    one.close()


@pytest.fixture
def door(world: World, issuer: Issuer) -> Generator[Door]:
    page = {"oidc_client_id": "page", "public_url": "http://127.0.0.1"}
    settings = {"oidc_issuer": issuer.url, "oidc_audience": AUDIENCE, **page}
    with open_door(world, port=0, **settings) as opened:
        opened.with_token(None)  # made once, for all threads
        yield opened


@contextmanager
def silence(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> Generator[threading.Event]:
    """The issuer takes every question and answers none, however long we would wait; set once it was asked one."""
    monkeypatch.setattr(our_issuer, "ANSWER_SECONDS", 60.0)
    asked, over = threading.Event(), threading.Event()
    issuer.slowly = lambda: (asked.set(), over.wait())
    try:
        yield asked
    finally:
        over.set()


def bearing(door: Door, token: str) -> httpx.Response:
    return door.with_token(None).get(PROVIDERS, headers={"Authorization": f"Bearer {token}"})


def unknown_token(door: Door, issuer: Issuer, number: int) -> httpx.Response:
    return bearing(door, issuer.token(f"unknown{number}"))


def sign_in(door: Door, _issuer: Issuer, _number: int) -> httpx.Response:
    return door.with_token(None).get("/sign-in/oidc")


def test_who_brings_a_known_key_does_not_wait_for_who_brings_an_unknown_one(
    door: Door, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bearing(door, issuer.token()).status_code == 200
    with ThreadPoolExecutor() as pool, silence(issuer, monkeypatch) as asked:
        waits = pool.submit(bearing, door, issuer.token("unknown"))
        asked.wait()
        assert bearing(door, issuer.token()).status_code == 200
        monkeypatch.setattr(issuer_keys, "FRESH_SECONDS", 0.0)
        assert bearing(door, issuer.token()).status_code == 200, "nor for news of his own key"
        assert not waits.done()
    assert waits.result().status_code == 401


@pytest.mark.parametrize("knock", [unknown_token, sign_in])
def test_of_a_crowd_that_needs_the_issuer_a_few_wait_and_nobody_who_has_an_api_key(
    door: Door, issuer: Issuer, monkeypatch: pytest.MonkeyPatch, knock: Callable[[Door, Issuer, int], httpx.Response]
) -> None:
    with ThreadPoolExecutor(CROWD) as pool, silence(issuer, monkeypatch):
        crowd = [pool.submit(knock, door, issuer, number) for number in range(CROWD)]
        sent_away = [one.result() for one in islice(as_completed(crowd), CROWD - AT_ONCE)]
        assert door.as_().get(PROVIDERS).status_code == 200
        assert door.with_token(None).get("/healthz").status_code == 200
        assert sum(not one.done() for one in crowd) == AT_ONCE
    assert {answer.status_code for answer in sent_away} == {503}


def test_an_answer_that_drips_is_given_up_after_its_time(
    door: Door, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(our_issuer, "ANSWER_SECONDS", 0.3)
    issuer.dripping.set()
    assert bearing(door, issuer.token()).status_code == 503
    issuer.dripping.clear()
    assert bearing(door, issuer.token()).status_code == 200
