"""The simulator as a process: its command line, its announcement, its end."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from m2m_pipeline.simulator.client import SimulatorControl
from m2m_pipeline.simulator.documents import DeviceView
from m2m_pipeline.simulator.fleet import API_KEY, USERNAME, luhn_digit
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.simulator.conftest import ICCID, OLD, WORLD, eventually, simulator


def devices_of(*options: str) -> list[DeviceView]:
    with simulator(*options) as (_, url), SimulatorControl(url) as control:
        return control.devices()


def test_generated_devices_are_valid_and_spread_over_the_plans() -> None:
    devices = devices_of("--devices", "300", "--seed", "5")
    assert len({device.iccid for device in devices}) == 300
    for device in devices:
        assert device.iccid.startswith("8988")
        assert device.iccid[-1] == luhn_digit(device.iccid[:-1])
    assert {len(device.iccid) for device in devices} == {19, 20}
    assert len({(device.rate_plan, device.communication_plan) for device in devices}) == 8


def test_the_check_digit_is_that_of_the_standard() -> None:
    assert luhn_digit("7992739871") == "3"


def test_the_same_seed_makes_the_same_devices() -> None:
    def identities(seed: str) -> list[tuple[str, str]]:
        return [(device.iccid, device.rate_plan) for device in devices_of("--devices", "20", "--seed", seed)]

    assert identities("1") == identities("1")
    assert identities("1") != identities("2")


def test_a_world_file_is_loaded_and_devices_are_added_to_it(tmp_path: Path) -> None:
    file = tmp_path / "world.json"
    file.write_text(WORLD.model_dump_json())
    devices = devices_of("--world", str(file), "--devices", "2")
    assert len(devices) == len(WORLD.devices) + 2
    assert (devices[0].iccid, devices[0].rate_plan) == (ICCID, OLD)


def test_limits_and_latency_come_from_the_command_line() -> None:
    with (
        simulator("--calls-per-second", "2", "--latency-ms", "20:30") as (_, url),
        httpx.Client(auth=(USERNAME, API_KEY), trust_env=False) as carrier,
        SimulatorControl(url) as control,
    ):
        statuses = [carrier.get(f"{url}/rws/api/v1/echo/x").status_code for _ in range(3)]
        assert statuses == [200, 200, 400]
        first = control.calls()[0]
        assert first.end is not None
        assert first.end - first.start >= 0.02


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_promptly_even_with_calls_open(told: signal.Signals) -> None:
    with simulator() as (process, url), SimulatorControl(url) as control:
        control.start(Rule(name="hang"))
        address = urlsplit(url)
        with socket.create_connection((address.hostname or "", address.port or 0), timeout=5) as connection:
            connection.sendall(b"GET /rws/api/v1/echo/x HTTP/1.1\r\nHost: x\r\n\r\n")
            eventually(lambda: control.summary().open_calls == 1)
            began = time.monotonic()
            process.send_signal(told)
            assert process.wait(timeout=5) == 0
            assert time.monotonic() - began < 3
            assert connection.recv(1) == b""


def test_importing_it_loads_no_web_server() -> None:
    check = "import sys, m2m_pipeline.simulator; sys.exit(any(m in sys.modules for m in ('uvicorn', 'pydantic')))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
