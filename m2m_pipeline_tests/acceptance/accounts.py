"""The accounts that there are at the carrier: each test works on some of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from m2m_pipeline.simulator import documents

OLD, NEW = "Plan Old", "Plan New"
COMMUNICATION_PLAN = "Comm"
TENANT = "acme"
CANARY = "canary-5ecret"
"""In the API key of every account, so that it can be looked for everywhere."""

SECRETS = {
    "M2M_OIDC_CLIENT_SECRET": f"{CANARY}-issuer",
    "M2M_SMTP_PASSWORD": f"{CANARY}-mail",
    "M2M_METRICS_TOKEN": f"{CANARY}-metrics",
    "M2M_AUDIT_SIGNING_KEY": CANARY.encode().hex().ljust(64, "7"),
}
"""Settings of the services."""

NOBODY_LISTENS = "127.0.0.1:1"
"""Where webhooks may be, and where the issuer of tokens should be."""

ACCOUNTS, DEVICES_EACH = 60, 12
BARRED = "barred"
"""An API user who may not call from this machine."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account at the carrier with SIMs of its own on OLD, and the service provider that is ours for it."""

    tenant: str
    provider: str
    username: str
    iccids: Sequence[str]


def carrier_world() -> documents.World:
    """At the carrier: accounts with devices of their own, all on OLD."""
    usernames = [*map(username_of, range(ACCOUNTS)), BARRED]
    return documents.World(
        accounts=tuple(
            documents.Account.model_validate(
                {
                    "username": username,
                    "api_key": api_key_of(username),
                    "account_id": str(1000 + place),
                    **({"allowed_networks": ["10.0.0.0/8"]} if username == BARRED else {}),
                }
            )
            for place, username in enumerate(usernames)
        ),
        rate_plans=(OLD, NEW),
        communication_plans=(COMMUNICATION_PLAN,),
        devices=tuple(_devices(usernames)),
    )


def _devices(usernames: Sequence[str]) -> Iterator[documents.Device]:
    for username in usernames:
        for iccid in iccids_of(username):
            yield documents.Device(iccid=iccid, rate_plan=OLD, communication_plan=COMMUNICATION_PLAN, account=username)


def username_of(number: int) -> str:
    """The API user of an account."""
    return f"api-{number:02}"


def api_key_of(username: str) -> str:
    """The key of an API user."""
    return f"{CANARY}-{username}"


def iccids_of(username: str) -> Sequence[str]:
    """The SIMs of an API user's account."""
    number = ACCOUNTS if username == BARRED else int(username.removeprefix("api-"))
    return tuple(f"8988216716970{number:02}{device:04}" for device in range(DEVICES_EACH))
