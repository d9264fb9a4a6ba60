"""Who may call, from where, and how often: what the carrier decides before it looks at a request."""

import base64
import binascii
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address

from m2m_pipeline.simulator.documents import Account, AccountLimits, Limits
from m2m_pipeline.simulator.ledger import forget_before
from m2m_pipeline.simulator.replies import (
    BAD_CREDENTIALS,
    RATE_LIMITED,
    Reply,
    error,
    missing_authorization,
    retry_after,
)


@dataclass(slots=True)
class User:
    """An account with its limits as they are now and its admitted calls: those still open, those of the last second."""

    account: Account
    limits: Limits
    open_calls: int = 0
    _starts: deque[float] = field(default_factory=deque[float])

    def admit(self, start: float, calls_per_second: int | None) -> bool:
        """Count the call in, unless a limit forbids it; the caller counts it out of open_calls when it ends."""
        if self.limits.in_flight is not None and self.open_calls >= self.limits.in_flight:
            return False
        forget_before(self._starts, start)
        if calls_per_second is not None and len(self._starts) >= calls_per_second:
            return False
        self._starts.append(start)
        self.open_calls += 1
        return True


class Admission:
    """The gate of one world."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._users = {account.username: User(account, account.limits) for account in accounts}
        self._by_header = {_basic(user.account.username, user.account.api_key): user for user in self._users.values()}

    def user_of(self, authorization: str | None) -> User | None:
        """The user whose name the header carries, whether or not the key is right: calls are booked on it."""
        if authorization is None:
            return None
        return self._by_header.get(authorization) or self._users.get(_username(authorization))

    def enter(self, start: float, authorization: str | None, client_host: str, tightened: int | None) -> User | Reply:
        """Admit the call that starts at this monotonic second, or say why not.

        `tightened` replaces the account's calls per second.
        """
        if authorization is None:
            return missing_authorization()
        user = self._by_header.get(authorization)
        if user is None or not _is_allowed(user.account, client_host):
            return error(BAD_CREDENTIALS)
        limits = user.limits
        if user.admit(start, limits.calls_per_second if tightened is None else tightened):
            return user
        return error(RATE_LIMITED, limits.error_status, retry_after(limits.retry_after_s))

    def set_limits(self, limits: AccountLimits) -> None:
        """Replace the limits from now on; raises KeyError for an unknown account."""
        users = self._users.values() if limits.account is None else [self._users[limits.account]]
        for user in users:
            user.limits = limits


def _basic(username: str, api_key: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{api_key}".encode()).decode()


def _username(authorization: str) -> str:
    try:
        return base64.b64decode(authorization.removeprefix("Basic "), validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _is_allowed(account: Account, client_host: str) -> bool:
    address = ip_address(client_host)
    return any(address in network for network in account.allowed_networks)
