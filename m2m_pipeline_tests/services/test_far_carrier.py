"""A carrier that is far away: its connections take longer to come about than lies between two calls."""

from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from m2m_pipeline_tests.carriers.certificate import tls_server, write_certificate
from m2m_pipeline_tests.faults.proxy import proxy_before
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import PROVIDER, TENANT, USERNAME, Options

DISTANCE = 0.05
"""Seconds each way, as across the Atlantic: a TLS connection stands after a round trip of its own at least."""

CALLS_PER_SECOND = 20


def test_calls_whose_connections_take_long_keep_the_accounts_limit(
    make_world: MakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late by a handshake, the first call on each connection would crowd in on those that found one standing."""
    certificate = write_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    world = make_world(Options(devices=60, calls_per_second=CALLS_PER_SECOND, in_flight=8))
    carrier = urlsplit(world.carrier_url)
    assert carrier.hostname
    assert carrier.port
    with (
        proxy_before(carrier.hostname, carrier.port, tls=tls_server(certificate)) as secured,
        proxy_before("127.0.0.1", secured.port, distance=DISTANCE) as far,
    ):
        settings = replace(world.provider_settings(), base_url=f"https://127.0.0.1:{far.port}")
        world.provider = world.services.accounts.configure(TENANT, PROVIDER, settings, actor="test")
        world.control.set_latency(50, 250)
        _, evidence = world.submit_and_run(batch_size=15)
        summary = world.control.summary()

    assert summary.max_calls_in_a_second[USERNAME] <= CALLS_PER_SECOND
    assert {(row.status, row.attempts) for row in evidence.rows} == {("PROCESSED", 1)}
    check_all(evidence)
