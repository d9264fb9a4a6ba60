"""The edge and TLS: a host that cannot prove its name is sent nothing, least of all the credential."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from m2m_pipeline.carriers.http import CarrierHttp, Fate, HttpAnswer, NotSent, Timeouts
from m2m_pipeline_tests.carriers.wire import Wire, answers


async def _put(url: str) -> Fate:
    http = CarrierHttp(url, "Basic c2VjcmV0", 1, Timeouts(connect=1, read=1, total=3))
    try:
        return await http.call("PUT", "/devices/1", json="{}")
    finally:
        await http.close()


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that no authority signed, with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "carrier")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "carrier.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + secret)
    return path


def _https(certificate: Path) -> tuple[Fate, Wire]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    async def run() -> tuple[Fate, Wire]:
        async with Wire(answers(200, {}), tls=context) as wire:
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
