"""Tenants and their carrier accounts."""

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

MAX_NAME_LENGTH = 200


class VerifyMode(StrEnum):
    """How an applied change is confirmed at the carrier before AMOP is told."""

    PAGES = "pages"  # by the device list: 50 devices a call
    EACH = "each"  # by reading each device
    NONE = "none"  # the carrier's 2xx is believed


class DriftPolicy(StrEnum):
    """What is done about drift once it is found; set for each service provider."""

    REPORT = "report"  # nothing: it is shown
    FOLLOW = "follow"  # AMOP's inventory takes over what the carrier shows
    PROPOSE = "propose"  # a bulk change back to AMOP's plan is prepared, and waits for a person


class NameRefusedError(ValueError):
    """No tenant and no provider may have that name. The message says why, and does not repeat it."""

    def __init__(self, whose: str) -> None:
        super().__init__(
            f"The {whose}'s name must have 1 to {MAX_NAME_LENGTH} printable characters: it stands in mails, logs and "
            "commands. Nothing was stored."
        )


def check_name(whose: str, name: str) -> None:
    """Refuse a new name that could not be shown on one line.

    Raises:
        NameRefusedError: it is empty or too long, or has a line break or another control character.

    """
    if not 0 < len(name) <= MAX_NAME_LENGTH or not name.isprintable():
        raise NameRefusedError(whose)


@dataclass(frozen=True, slots=True)
class Tenant:
    """A company."""

    id: int
    name: str
    max_devices: int  # devices in one bulk change
    max_open_changes: int  # bulk changes that have not ended


@dataclass(frozen=True, slots=True)
class ServiceProvider:
    """One carrier integration of one tenant. Rates in calls/s, `in_flight` in calls."""

    id: int
    tenant_id: int
    name: str
    integration_type: str
    base_url: str
    calls_per_second: float
    in_flight: int
    verify: VerifyMode
    writes_enabled: bool
    drift: DriftPolicy = DriftPolicy.REPORT


@dataclass(frozen=True, slots=True)
class Credential:
    """What signs us in at a carrier."""

    username: str
    api_key: str = field(repr=False)


def account_key(base_url: str, username: str) -> str:
    """What a carrier counts calls by: host and API user. Two providers with one account share its budget."""
    return f"{urlsplit(base_url).netloc}/{username}"


def account_label(base_url: str, username: str) -> str:
    """The account where it may be read by anybody: the same for the same account, and tells nothing of its user."""
    return hashlib.sha256(account_key(base_url, username).encode()).hexdigest()[:12]
