"""One simulator process for each test module; every test starts with the same small world."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from ipaddress import IPv4Network

import httpx
import pytest

from m2m_pipeline.simulator.client import SimulatorControl
from m2m_pipeline.simulator.documents import Account, Device, World

USER = ("amop", "amop-key")
ICCID = "8988216716970004975"
ICCIDS = tuple(f"898821671697000{number:04d}" for number in range(5000, 5060))
OLD, NEW, THIRD = "Plan Old", "Plan New", "Plan Third"

WORLD = World(
    accounts=(
        Account(username="amop", api_key="amop-key", account_id="100"),
        Account(username="clerk", api_key="clerk-key", account_id="200", reads_rate_plans=False),
        Account(username="remote", api_key="remote-key", allowed_networks=(IPv4Network("10.0.0.0/8"),)),
    ),
    rate_plans=(OLD, NEW, THIRD),
    communication_plans=("Comm Old", "Comm New"),
    devices=tuple(
        Device(iccid=iccid, rate_plan=OLD, communication_plan="Comm Old", account="amop") for iccid in (ICCID, *ICCIDS)
    ),
)


@contextmanager
def simulator(*options: str) -> Generator[tuple[subprocess.Popen[str], str]]:
    """A simulator process and its address."""
    command = [sys.executable, "-m", "m2m_pipeline.simulator", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            announcement: dict[str, str] = json.loads(process.stdout.readline())
            yield process, announcement["simulator_url"]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=10)


def eventually(holds: Callable[[], bool], within_s: float = 10.0) -> None:
    """Ask again until it holds; for what another process does in its own time."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it never became true"


@pytest.fixture(scope="module")
def url() -> Generator[str]:
    with simulator() as (_, address):
        yield address


@pytest.fixture(scope="module")
def shared_control(url: str) -> Generator[SimulatorControl]:
    with SimulatorControl(url) as client:
        yield client


@pytest.fixture
def control(shared_control: SimulatorControl) -> SimulatorControl:
    shared_control.set_latency(0, 0)
    shared_control.replace_world(WORLD)
    return shared_control


@pytest.fixture
def carrier(url: str, control: SimulatorControl) -> Generator[httpx.Client]:
    """The carrier's API as the user amop calls it, in a fresh world."""
    assert control.summary().calls == 0
    with httpx.Client(base_url=f"{url}/rws/api/v1", auth=USER, trust_env=False, timeout=5.0) as client:
        yield client


def put_plan(carrier: httpx.Client, plan: str = NEW, iccid: str = ICCID) -> httpx.Response:
    return carrier.put(f"/devices/{iccid}", json={"ratePlan": plan})


def plan_of(control: SimulatorControl, iccid: str = ICCID) -> str:
    return next(device.rate_plan for device in control.devices() if device.iccid == iccid)


def code_of(response: httpx.Response) -> object:
    body: dict[str, object] = response.json()
    return body["errorCode"]
