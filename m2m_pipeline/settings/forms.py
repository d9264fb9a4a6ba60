"""What several settings have in common: how their text is read."""

import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr, StringConstraints

CRON = r"^\s*(\S+\s+){4}\S+\s*$"
"""Five fields of a cron expression."""

ADDRESS = r"^(https?://[^/\s]+\S*)?$"
"""An address on the web, or nothing."""


def is_safe_on_its_way(address: str) -> bool:
    """Whether nobody between us and an address can change what it says: it speaks TLS, or is on this machine.

    Raises:
        ValueError: it is no address.

    """
    parts = urlsplit(address)
    return parts.scheme == "https" or parts.hostname == "localhost" or _is_loopback(parts.hostname or "")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _safe_on_its_way(address: str) -> str:
    if address and not is_safe_on_its_way(address):
        message = "must be an https:// address: only one on this machine needs no TLS"
        raise ValueError(message)
    return address


TrustedAddress = Annotated[str, StringConstraints(pattern=ADDRESS), AfterValidator(_safe_on_its_way)]
"""An address whose word we take, or nothing."""


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Listed = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""Separated by commas."""

Secrets = Annotated[tuple[SecretStr, ...], BeforeValidator(_split)]
"""As `Listed`, and never shown."""
