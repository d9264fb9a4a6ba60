"""How soon the HTTP API answers: a CSV of 100,000 rows, looks at a tenant with a long past, 50 clients at once."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from statistics import quantiles
from typing import Self

import httpx
from starlette.status import HTTP_200_OK, HTTP_202_ACCEPTED, HTTP_400_BAD_REQUEST

from benchmarks.fleet import NEW, iccid, iccids
from benchmarks.front_door import PATIENCE_SECONDS, PROVIDER, FrontDoor, front_door
from benchmarks.measurement import InvalidRunError, Measurement
from benchmarks.planting import Past
from benchmarks.stand import Stand
from benchmarks.targets import Figure

CLIENTS = 50
DEVICES_A_SUBMIT = 10
_CHANGES = "/api/v1/bulk-changes"
_HEALTH_SECONDS = 0.05
_NAME = "front_door"


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything. A client looks four times a round, and submits in every other one."""

    csv_rows: int
    changes: int
    devices_each: int
    looks: int
    rounds: int

    @property
    def past(self) -> Past:
        """What the tenant has behind it; its fleet is that of the CSV, and then that of the clients."""
        return Past(self.csv_rows + CLIENTS * self.rounds * DEVICES_A_SUBMIT, self.changes, self.devices_each)


FULL = Size(csv_rows=100_000, changes=100, devices_each=10_000, looks=300, rounds=20)
QUICK = Size(csv_rows=2_000, changes=20, devices_each=500, looks=20, rounds=1)


def measure(stand: Stand, quick: bool) -> Iterator[Measurement]:
    """Looks, then the CSV, then everybody at once; for each, its slowest query with its plan."""
    size = QUICK if quick else FULL
    with front_door(stand, size.past, CLIENTS) as door:
        yield from _looks(door, size)
        yield from _csv(door, size)
        yield from _crowd(door, size)


def _addresses(size: Size) -> Mapping[str, Callable[[random.Random], str]]:
    """What people look at, by name; the changes are those of the past, the first of a fresh database."""

    def change(draw: random.Random) -> str:
        return f"{_CHANGES}/{1 + draw.randrange(size.changes)}"

    return {
        "list": lambda draw: f"{_CHANGES}?limit=50&status={draw.choice(['PARTIAL', 'FAILED'])}",
        "detail": change,
        "devices": lambda draw: f"{change(draw)}/devices?limit=100",
        "history": lambda draw: f"/api/v1/devices/{iccid(draw.randrange(size.past.fleet))}/history",
    }


def _looks(door: FrontDoor, size: Size) -> Iterator[Measurement]:
    draw = random.Random(1)  # noqa: S311 - spread, not secret
    # A client for each: one alone would ask more often than the front door lets one ask.
    for number, (name, address) in enumerate(_addresses(size).items()):
        with door.client(number) as client:
            door.queries.begin()
            taken = [_timed(client, address(draw)) for _ in range(size.looks)]
            case = f"{name}, {size.past.rows:,} rows"
            yield Measurement(_NAME, case, Figure.LOOK, _p95(taken), "ms", query=door.queries.slowest())


def _csv(door: FrontDoor, size: Size) -> Iterator[Measurement]:
    lines = ["iccid", *iccids(0, size.csv_rows)]
    case = f"{size.csv_rows:,} rows"
    with door.client() as client:
        before = _newest(client)
        refused = _submit_file(client, [*lines, "12"])
        if refused.status_code != HTTP_400_BAD_REQUEST or _newest(client) != before:
            raise InvalidRunError(f"a CSV with a faulty row was answered {refused.status_code}: {refused.text[:500]}")
        door.queries.begin()
        with _Pulse(door) as pulse:
            began = time.monotonic()
            answer = _good(_submit_file(client, lines))
            seconds = time.monotonic() - began
        own = answer.json()["links"]["self"]
        undo = f"DELETE FROM m2m.device_change WHERE bulk_change_id = {int(answer.json()['id'])}"
        yield Measurement(_NAME, case, Figure.CSV, seconds, "s", query=door.queries.slowest(undo))
        yield Measurement(_NAME, case, Figure.PULSE, pulse.worst * 1000, "ms", {"looks": pulse.looks})
        if (total := _good(client.get(own)).json()["total"]) != size.csv_rows:
            raise InvalidRunError(f"{total} of {size.csv_rows} rows were recorded")
        door.queries.begin()
        taken = [_timed(client, own) for _ in range(size.looks // 10)]
        yield Measurement(_NAME, case, "detail of that change, p95", _p95(taken), "ms", query=door.queries.slowest())


def _crowd(door: FrontDoor, size: Size) -> Iterator[Measurement]:
    door.queries.begin()
    began = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        visits = list(pool.map(partial(_visit, door, size), range(CLIENTS)))
    seconds = time.monotonic() - began
    answers = [answer for visit in visits for answer in visit]
    errors = [status for status, _ in answers if status not in {HTTP_200_OK, HTTP_202_ACCEPTED}]
    case = f"{CLIENTS} clients, {len(answers):,} requests"
    detail = {"errors": errors[:20]}
    yield Measurement(_NAME, case, Figure.CROWD_ERRORS, len(errors), "", detail, door.queries.slowest())
    yield Measurement(_NAME, case, "requests/s", len(answers) / seconds, "1/s")
    yield Measurement(_NAME, case, "p95 of their answers", _p95([taken for _, taken in answers]), "ms")


def _visit(door: FrontDoor, size: Size, number: int) -> list[tuple[int, float]]:
    """One client's whole visit: status and milliseconds of each answer; 0 for none."""
    draw = random.Random(number)  # noqa: S311 - spread, not secret
    answers: list[tuple[int, float]] = []

    def note(method: str, address: str, content: object = None) -> None:
        began = time.monotonic()
        try:
            status = client.request(method, address, json=content).status_code
        except httpx.TransportError:
            status = 0
        answers.append((status, (time.monotonic() - began) * 1000))

    with door.client(number) as client:
        addresses = _addresses(size)
        for turn in range(size.rounds):
            for address in addresses.values():
                note("GET", address(draw))
            if turn % 2 == 0:
                first = size.csv_rows + (number * size.rounds + turn) * DEVICES_A_SUBMIT
                devices = list(iccids(first, DEVICES_A_SUBMIT))
                note("POST", _CHANGES, {"provider": PROVIDER, "rate_plan": NEW, "devices": devices})
    return answers


class _Pulse:
    """Asks /healthz again and again for as long as the context lasts: the worst answer, in seconds."""

    def __init__(self, door: FrontDoor) -> None:
        self._door = door
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.worst = 0.0
        self.looks = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        with self._door.client() as client:
            while not self._over.wait(_HEALTH_SECONDS):
                self.worst = max(self.worst, _timed(client, "/healthz") / 1000)
                self.looks += 1


def _newest(client: httpx.Client) -> int:
    return int(_good(client.get(_CHANGES, params={"limit": 1})).json()["items"][0]["id"])


def _submit_file(client: httpx.Client, lines: list[str]) -> httpx.Response:
    file = {"file": ("sims.csv", "\n".join(lines).encode(), "text/csv")}
    return client.post(_CHANGES, data={"provider": PROVIDER, "rate_plan": NEW}, files=file, timeout=PATIENCE_SECONDS)


def _timed(client: httpx.Client, address: str) -> float:
    """Milliseconds to a good answer."""
    began = time.monotonic()
    _good(client.get(address))
    return (time.monotonic() - began) * 1000


def _good(answer: httpx.Response) -> httpx.Response:
    if not answer.is_success:
        raise InvalidRunError(f"{answer.request.url}: {answer.status_code} {answer.text[:500]}")
    return answer


def _p95(milliseconds: list[float]) -> float:
    return quantiles(milliseconds, n=20, method="inclusive")[-1]
