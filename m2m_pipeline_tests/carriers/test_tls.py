"""The edge and TLS: a host that cannot prove its name is sent nothing, least of all the credential."""

import asyncio
from pathlib import Path

import pytest

from m2m_pipeline.carriers.http import CarrierHttp, Fate, HttpAnswer, NotSent, Timeouts
from m2m_pipeline_tests.carriers.certificate import tls_server, write_certificate
from m2m_pipeline_tests.carriers.wire import Wire, answers


async def _put(url: str) -> Fate:
    http = CarrierHttp(url, "Basic c2VjcmV0", 1, Timeouts(connect=1, read=1, total=3))
    try:
        return await http.call("PUT", "/devices/1", json="{}")
    finally:
        await http.close()


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That no authority signed."""
    return write_certificate(tmp_path_factory.mktemp("tls"))


def _https(certificate: Path) -> tuple[Fate, Wire]:
    async def run() -> tuple[Fate, Wire]:
        async with Wire(answers(200, {}), tls=tls_server(certificate)) as wire:
            return await _put(wire.url), wire

    return asyncio.run(run())


def test_a_host_that_cannot_prove_its_name_is_sent_nothing(self_signed: Path) -> None:
    fate, wire = _https(self_signed)

    assert fate == NotSent("the host's TLS certificate is not valid for it")
    assert wire.requests == []


def test_an_authority_of_the_operators_own_is_trusted(self_signed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(self_signed))
    fate, _ = _https(self_signed)

    assert fate == HttpAnswer(200, b"{}")


def test_a_host_that_does_not_speak_tls_is_sent_nothing() -> None:
    async def run() -> tuple[Fate, Wire]:
        async with Wire(answers(200, {})) as wire:
            return await _put(f"https://127.0.0.1:{wire.port}"), wire

    fate, wire = asyncio.run(run())

    assert isinstance(fate, NotSent)
    assert wire.requests == []
