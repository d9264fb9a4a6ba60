"""What a webhook may make our servers do: nothing but one POST to a public address."""

import asyncio
import socket
import threading
from collections.abc import Generator

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from m2m_pipeline.delivery.addresses import CheckedResolver, DestinationPolicy, refuse_private
from m2m_pipeline.delivery.webhook import WebhookSender
from m2m_pipeline.domain.notices import (
    Destination,
    DestinationKind,
    Event,
    EventType,
    Failed,
    ForbiddenAddressError,
)
from m2m_pipeline_tests.notices.receiver import Receiver


@pytest.fixture
def receiver() -> Generator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def send(url: str, *hosts: str, seconds: float = 5.0) -> Failed | None:
    sender = WebhookSender(DestinationPolicy(hosts), seconds)
    destination = Destination(1, 1, DestinationKind.WEBHOOK, url, ("s" * 16,))
    return asyncio.run(sender.send(destination, Event("evt_1", EventType.TEST, "{}")))


def test_a_host_that_the_operator_named_is_called(receiver: Receiver) -> None:
    assert send(receiver.url, receiver.host) is None
    assert [one.path for one in receiver.deliveries] == ["/hook"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]", "[::ffff:127.0.0.1]"]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_spelling_of_our_own_machine_is_called(receiver: Receiver, scheme: str, host: str) -> None:
    failed = send(f"{scheme}://{host}:{receiver.port}/")
    assert failed is not None
    assert failed.final or "does not resolve" in failed.why
    assert receiver.deliveries == []


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1", "172.16.0.1", "192.168.1.1", "127.0.0.1", "169.254.169.254", "100.64.0.1", "224.0.0.1",
        "0.1.2.3", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "2002:7f00:1::",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(ForbiddenAddressError, match="not a public address"):
        refuse_private(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111", "64:ff9b::101:101"])
def test_a_public_address_is_not_refused(address: str) -> None:
    refuse_private(address)


class Rebinding(AbstractResolver):
    """A name whose owner answers as he likes: a public address first, ours afterwards."""

    def __init__(self) -> None:
        self.answers = iter(["1.1.1.1", "127.0.0.1", "127.0.0.1"])

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        answer = next(self.answers)
        return [ResolveResult(hostname=host, host=answer, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        """Nothing is open."""


def test_what_is_connected_to_is_what_was_checked() -> None:
    async def look() -> None:
        resolver = CheckedResolver(DestinationPolicy(), Rebinding())
        (first,) = await resolver.resolve("rebinding.example", 443)
        assert first["host"] == "1.1.1.1"
        with pytest.raises(ForbiddenAddressError):
            await resolver.resolve("rebinding.example", 443)

    asyncio.run(look())


@pytest.mark.parametrize(
    "url", ["ftp://h.example/", "https://", "https://u:p@h.example/", "https://h ost/", "x", "https://h:99999/"]
)
def test_what_is_no_plain_https_address_is_refused(url: str) -> None:
    with pytest.raises(ForbiddenAddressError):
        DestinationPolicy().check(url)


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    with Receiver() as elsewhere:
        receiver.status, receiver.headers = 307, {"Location": elsewhere.url}
        failed = send(receiver.url, receiver.host, elsewhere.host)
    assert failed == Failed("The receiver answered 307; only 2xx confirms a delivery.")
    assert elsewhere.deliveries == []


def test_a_receiver_that_does_not_answer_in_time_has_not_confirmed(receiver: Receiver) -> None:
    over = threading.Event()
    receiver.slowly = lambda: over.wait(10)
    try:
        failed = send(receiver.url, receiver.host, seconds=0.3)
    finally:
        over.set()
    assert failed == Failed("No answer within 0.3 s.")


def test_an_answer_without_end_is_not_read(receiver: Receiver) -> None:
    receiver.answer = b"x" * 50_000_000
    assert send(receiver.url, receiver.host) is None


def test_a_receiver_that_is_not_there_is_tried_again_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    failed = send(f"http://127.0.0.1:{port}/", "127.0.0.1")
    assert failed is not None
    assert not failed.final
    assert "refused" in failed.why


def test_a_certificate_that_nobody_vouches_for_is_no_delivery(receiver: Receiver) -> None:
    failed = send(f"https://127.0.0.1:{receiver.port}/", receiver.host)
    assert failed is not None
    assert "TLS" in failed.why
    assert receiver.deliveries == []
