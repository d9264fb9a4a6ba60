"""What a served process writes: our log lines and no others, each fault once, and no secret in any."""

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from m2m_pipeline.local.ports import free_port
from m2m_pipeline_tests.environment import inherited
from m2m_pipeline_tests.world import World

SECRET, ICCID = "hunter2-5ecret", "8988216716970000001"
BROKEN = f"""
import sys
from m2m_pipeline.services.monitoring import Monitoring
from m2m_pipeline.settings import load_settings
from m2m_pipeline.web.serving import serve

def measure(_):
    raise RuntimeError("password={SECRET} of {ICCID}")

Monitoring.measure = measure
serve(load_settings(), "127.0.0.1", int(sys.argv[1]))
"""


def test_every_line_of_a_served_process_is_json_and_a_fault_is_told_once(world: World, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    environment = {
        **inherited(),
        "M2M_DATABASE_URL": world.database_url,
        "M2M_ENCRYPTION_KEYS": world.key,
        "M2M_LOG_FORMAT": "json",
    }
    with log.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, "-c", BROKEN, str(port)], env=environment, stdout=written, stderr=written
        )
    try:
        _until_it_answers(process, port)
        assert httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).status_code == 500
        with socket.create_connection(("127.0.0.1", port)) as wire:
            wire.sendall(b"no http\r\n\r\n")
            assert b" 400 " in wire.recv(65536)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
    text = log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["event"] for line in lines if "exception" in line] == ["GET /metrics"]
    assert text.count("RuntimeError") == 1
    assert any("Invalid HTTP request" in line["event"] for line in lines)
    assert all({"timestamp", "level", "logger"} <= line.keys() for line in lines)
    assert SECRET not in text
    assert ICCID not in text


def _until_it_answers(process: subprocess.Popen[bytes], port: int) -> None:
    while True:
        assert process.poll() is None
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
