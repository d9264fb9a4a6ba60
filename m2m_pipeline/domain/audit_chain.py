"""The chain over a tenant's audit entries: each link is a hash over one entry and the link before.

docs/audit.md gives the same algorithm to whoever checks an export.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

FORMAT = 1
"""Stands in every link. Whoever changes the fields or their order takes another number, and keeps reading this one."""

FIELDS = (
    "id",
    "at",
    "kind",
    "actor",
    "service_provider_id",
    "bulk_change_id",
    "device_change_id",
    "retry",
    "iccid",
    "old_rate_plan",
    "new_rate_plan",
    "outcome",
    "reason",
    "message",
    "request",
    "response",
)
"""What of an entry goes into its link, in this order: every column but the tenant, which the link itself names."""

GENESIS = bytes(32)
"""Stands for the link before the first."""

MARK_BYTES = 4
"""So much of each hash stands in a signed digest. It names the first entry that differs; the whole hash proves."""

LATE = timedelta(minutes=5)
"""No transaction that writes an entry lasts so long: the database ends it before. So no entry is sealed after another
that is younger by more than this, unless somebody put it there."""

AHEAD = timedelta(minutes=1)
"""An entry cannot be younger than its seal, save by a small step of the clock."""

Value = str | int | None
"""Times and JSON are text, as the database says them: see docs/audit.md."""


@dataclass(frozen=True, slots=True)
class Link:
    """One link as it is stored, with its entry: the values of FIELDS, or None where there is no such entry."""

    number: int  # from 1, without gaps, in each tenant's chain
    entry_id: int
    sealed_at: str
    hash: bytes
    entry: Sequence[Value] | None


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing that is wrong: at which link (and entry, where it is known), and what."""

    number: int
    entry_id: int | None
    what: str

    def __str__(self) -> str:
        entry = f" (entry {self.entry_id})" if self.entry_id is not None else ""
        return f"Number {self.number}{entry}: {self.what}"


@dataclass(slots=True)
class Position:
    """How far a chain has been followed: `number` links, the last with hash `head`."""

    number: int = 0
    head: bytes = GENESIS
    newest: str = ""  # the latest time that an entry has given

    def advance(self, tenant_id: int, link: Link) -> Fault | None:
        """Follow one link further; or stay, and say what is wrong with it."""
        number = self.number + 1
        if link.number != number:
            return Fault(number, None, f"is gone; the next that is there is number {link.number}.")
        if link.entry is None:
            return Fault(number, link.entry_id, "the entry is gone from the log.")
        if link_hash(self.head, tenant_id, number, link.sealed_at, link.entry) != link.hash:
            return Fault(number, link.entry_id, "the entry is not the one that was sealed, or its seal was changed.")
        at = str(link.entry[1])
        if fault := _misdated(at, self.newest, link.sealed_at):
            return Fault(number, link.entry_id, fault)
        self.number, self.head, self.newest = number, link.hash, max(self.newest, at)
        return None


def link_hash(previous: bytes, tenant_id: int, number: int, sealed_at: str, entry: Sequence[Value]) -> bytes:
    """SHA-256 over the link before, and over the place and the content of an entry as one JSON array."""
    content = json.dumps([FORMAT, tenant_id, number, sealed_at, *entry], ensure_ascii=False, separators=(",", ":"))
    return sha256(previous + content.encode()).digest()


def _misdated(at: str, newest: str, sealed_at: str) -> str | None:
    """What is wrong with the time that an entry gives, or None. In order, all but the first comparison are spared."""
    if at and newest <= at <= sealed_at:
        return None
    try:
        moment = datetime.fromisoformat(at)
        if moment > datetime.fromisoformat(sealed_at) + AHEAD:
            return f"the entry gives a time ({at}) after it was sealed ({sealed_at})."
        if newest and moment < datetime.fromisoformat(newest) - LATE:
            return f"the entry gives a time ({at}) long before entries that were sealed earlier ({newest})."
    except ValueError:
        return f"the entry gives no time that can be ({at})."
    return None
