"""Which webhooks may be called: by their address as it is written, and by what its name resolves to.

A tenant chooses the address and our servers call it: without these rules it would reach what only they can reach.
"""

import ipaddress
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from m2m_pipeline.domain.notices import ForbiddenAddressError


class DestinationPolicy:
    """`hosts` (`host` or `host:port`) are trusted by the operator: they may be private, and need no TLS."""

    def __init__(self, hosts: Collection[str] = ()) -> None:
        self._hosts = {host.strip().casefold() for host in hosts}

    def check(self, url: str) -> None:
        """Refuse an address for how it is written.

        Raises:
            ForbiddenAddressError: not https, no host, credentials in it, or a private address as a number.

        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ForbiddenAddressError("it is no address.") from None
        if parts.scheme not in {"https", "http"} or not host or any(one.isspace() for one in url):
            raise ForbiddenAddressError("it is no https:// address with a host.")
        if parts.username is not None or parts.password is not None:
            raise ForbiddenAddressError("an address must hold no user name and no password.")
        if self.trusts(host, port or (443 if parts.scheme == "https" else 80)):
            return
        if parts.scheme != "https":
            raise ForbiddenAddressError("only https:// is called; M2M_WEBHOOK_HOSTS names hosts that need no TLS.")
        if _is_number(host):
            refuse_private(host)

    def trusts(self, host: str, port: int) -> bool:
        """Whether the operator has named the host."""
        name = host.casefold()
        return bool({name, f"{name}:{port}"} & self._hosts)


class CheckedResolver(AbstractResolver):
    """Resolves a name and gives only what was checked: the connection goes to that address and no other.

    Who answers one address to a check and another to the connection (DNS rebinding) gains nothing.
    """

    def __init__(self, policy: DestinationPolicy, resolver: AbstractResolver | None = None) -> None:
        self._policy = policy
        self._resolver = resolver or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name.

        Raises:
            OSError: it does not resolve.
            ForbiddenAddressError: one of its addresses is not public.

        """
        found = await self._resolver.resolve(host, port, family)
        if not self._policy.trusts(host, port):
            for one in found:
                refuse_private(one["host"])
        return found

    async def close(self) -> None:
        """Close the resolver below."""
        await self._resolver.close()


def refuse_private(address: str) -> None:
    """Refuse what is not a public address: private, loopback, link-local, reserved, or one of those inside IPv6.

    Raises:
        ForbiddenAddressError: it is one.

    """
    number = ipaddress.ip_address(address.partition("%")[0])
    inner = _embedded(number) if isinstance(number, ipaddress.IPv6Address) else None
    if not number.is_global or number.is_multicast or (inner is not None and not inner.is_global):
        raise ForbiddenAddressError(
            "it is not a public address; M2M_WEBHOOK_HOSTS names hosts that may be reached inside."
        )


NAT64 = ipaddress.ip_network("64:ff9b::/96")


def _embedded(number: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for."""
    if number in NAT64:
        return ipaddress.IPv4Address(int(number) & 0xFFFFFFFF)
    return number.ipv4_mapped or number.sixtofour or (number.teredo[1] if number.teredo else None)


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
