"""Which integration types there are, and the adapter of each. Nothing else knows a carrier by name."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from m2m_pipeline.carriers.http import DEFAULT_TIMEOUTS, Timeouts
from m2m_pipeline.carriers.jasper.adapter import CAPABILITIES, JasperCarrier
from m2m_pipeline.domain.accounts import Credential, ServiceProvider
from m2m_pipeline.domain.carrier import Capabilities, Carrier, UnsupportedIntegrationError

AdapterFactory = Callable[[str, Credential, int, Timeouts], Carrier]
"""From base URL, credential, calls in flight and time limits to an account that is ready to be called."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """How a carrier is called, and what can be known of it without a credential."""

    capabilities: Capabilities
    factory: AdapterFactory


# Names as AMOP's Integration table spells them. These four are one API on different hosts.
ADAPTERS: Mapping[str, Adapter] = dict.fromkeys(
    ("Jasper", "POD19", "Rogers", "TMobileJasper"), Adapter(CAPABILITIES, JasperCarrier)
)

HOST = re.compile(r"[a-z0-9.:-]+")
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
OWN_PORTS = {"https": 443, "http": 80}


class InvalidBaseUrlError(ValueError):
    """The text is not the address of a carrier host. The message says why, without repeating the text."""


def supported_integrations() -> tuple[str, ...]:
    """The integration types that have an adapter, in alphabetical order."""
    return tuple(ADAPTERS)


def canonical_integration(integration_type: str) -> str:
    """`pod19` → `POD19`.

    Raises:
        UnsupportedIntegrationError: no adapter serves it; the message names those that are served.

    """
    wanted = integration_type.strip().casefold()
    for name in ADAPTERS:
        if name.casefold() == wanted:
            return name
    known = ", ".join(ADAPTERS)
    raise UnsupportedIntegrationError(f"integration type {integration_type!r} is not supported; supported are {known}")


def checked_base_url(base_url: str) -> str:
    """Scheme and host of a carrier, without a slash at the end or the port that the scheme means anyway.

    It must be https (http for this machine alone) and name the host alone: the path is the adapter's business, and
    a user or key in a URL ends up in logs.

    Raises:
        InvalidBaseUrlError: it is anything else.

    """
    try:
        url = urlsplit(base_url.strip())
        port = url.port
    except ValueError:
        url, port = urlsplit(""), None
    host = url.hostname or ""
    for wrong, rule in (
        (
            url.scheme not in {"http", "https"} or not HOST.fullmatch(host),
            "must be the carrier's host, such as https://restapi19.att.com",
        ),
        (
            url.scheme == "http" and host not in LOOPBACK,
            "must begin with https:// (http:// is for this machine only)",
        ),
        ("@" in url.netloc, "must not hold a user name or key"),
        (
            url.path.strip("/") or url.query or url.fragment,
            "must end after the host: the adapter adds the path of the API",
        ),
    ):
        if wrong:
            raise InvalidBaseUrlError(f"the base URL {rule}")
    netloc = f"[{host}]" if ":" in host else host
    return f"{url.scheme}://{netloc}" if port in {None, OWN_PORTS[url.scheme]} else f"{url.scheme}://{netloc}:{port}"


def build_carrier(
    integration_type: str,
    base_url: str,
    credential: Credential,
    in_flight: int,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
) -> Carrier:
    """The account of `credential` at a carrier, for one event loop, with at most `in_flight` calls at a time.

    Sends nothing yet.

    Raises:
        UnsupportedIntegrationError: no adapter serves the integration type.
        InvalidBaseUrlError: the base URL is not a carrier's host.

    """
    adapter = ADAPTERS[canonical_integration(integration_type)]
    return adapter.factory(checked_base_url(base_url), credential, in_flight, timeouts)


class CarrierRegistry:
    """The `Carriers` port over the adapters above."""

    def capabilities(self, integration_type: str) -> Capabilities | None:
        """What the carrier behind an integration type can do; None where no adapter serves it."""
        try:
            return ADAPTERS[canonical_integration(integration_type)].capabilities
        except UnsupportedIntegrationError:
            return None

    def open(self, provider: ServiceProvider, credential: Credential) -> Carrier:
        """A carrier account, ready to be called; it raises what `build_carrier` raises."""
        return build_carrier(provider.integration_type, provider.base_url, credential, provider.in_flight)
