"""The deliverer: what the outbox holds goes out at least once, or is given up with its reason.

A claim is a moment before which nobody else takes the notice. Whoever dies between the delivery and its commit leaves
the notice as it was: it is delivered again, with the same event id.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from m2m_pipeline.domain.notices import (
    SEND_SECONDS,
    Destination,
    DestinationKind,
    Event,
    EventType,
    Failed,
    NoticeStatus,
    Sender,
    delay_after,
)
from m2m_pipeline.services.destinations import Destinations
from m2m_pipeline.services.notifying import event
from m2m_pipeline.storage import accounts, outbox
from m2m_pipeline.storage.database import Database, retrying_transient
from m2m_pipeline.storage.outbox import StoredNotice
from m2m_pipeline.storage.vault import CredentialUnreadableError, EncryptionKeyError

AT_ONCE, EACH_AT_ONCE = 16, 4
"""Deliveries under way, and those to one destination: one that hangs leaves room for the others."""

CLAIM_SECONDS = 2 * SEND_SECONDS
TICK_SECONDS = 20.0
"""No delivery begins later in a tick: Dagster allows a sensor 60 s, and the last ones take up to `SEND_SECONDS`."""

SHOWN = 50


class NoticeUnknownError(Exception):
    """The tenant has no such notice that was given up."""

    def __init__(self, notice_id: int) -> None:
        super().__init__(
            f"There is no notice {notice_id} of this tenant that was given up and whose destination still exists. "
            "Trying again does not help; see `m2m notices --status DEAD`, and --tenant or --operators."
        )


@dataclass(slots=True)
class Delivered:
    """What one look at the outbox came to, in notices."""

    delivered: int = 0
    postponed: int = 0
    dead: int = 0


class Outbox:
    """Everywhere, a `tenant_name` of None means the operators of the platform."""

    def __init__(
        self,
        database: Database,
        destinations: Destinations,
        senders: Mapping[DestinationKind, Sender],
        patience_seconds: float,
    ) -> None:
        self._database = database
        self._destinations = destinations
        self._senders = senders
        self._patience = patience_seconds

    def deliver(self, seconds: float = TICK_SECONDS, *, operators_only: bool = False) -> Delivered:
        """Deliver what is due, until there is nothing more or `seconds` are over. Safe beside others.

        `operators_only`: what is the operators', and no tenant's.
        """
        done, ends = Delivered(), time.monotonic() + seconds
        while time.monotonic() < ends:
            with self._database.begin() as tx:
                claimed = outbox.claim(tx, AT_ONCE, EACH_AT_ONCE, CLAIM_SECONDS, operators_only=operators_only)
            if not claimed:
                break
            asyncio.run(self._deliver_all(claimed, done))
        return done

    def try_out(self, tenant_name: str | None, destination_id: int) -> Failed | None:
        """Send a test event now, past the outbox; None where the destination confirmed it.

        Raises:
            DestinationUnknownError: the tenant has none of that id.
            CredentialUnreadableError: its secret cannot be decrypted with the keys that are set.

        """
        destination = self._destinations.find(tenant_name, destination_id)
        test = event(EventType.TEST, {"title": "test", "text": "This is a test: the destination works."})
        return asyncio.run(self._hand_over(destination, test))

    def latest(self, tenant_name: str | None, status: NoticeStatus | None = None) -> Sequence[StoredNotice]:
        """The last notices, the latest first."""
        with self._database.begin() as tx:
            tenant = accounts.find_tenant(tx, tenant_name) if tenant_name is not None else None
            if tenant_name is not None and tenant is None:
                return []
            return outbox.list_latest(tx, tenant.id if tenant else None, status, SHOWN)

    def retry(self, tenant_name: str | None, notice_id: int) -> None:
        """Drive a notice again that was given up.

        Raises:
            NoticeUnknownError: there is none of that id.

        """
        with self._database.begin() as tx:
            tenant = accounts.find_tenant(tx, tenant_name) if tenant_name is not None else None
            known = tenant is not None or tenant_name is None
            if not (known and outbox.revive(tx, tenant.id if tenant else None, notice_id)):
                raise NoticeUnknownError(notice_id)

    async def _deliver_all(self, claimed: Sequence[StoredNotice], done: Delivered) -> None:
        async with asyncio.TaskGroup() as group:
            for notice in claimed:
                group.create_task(self._deliver(notice, done))

    async def _deliver(self, notice: StoredNotice, done: Delivered) -> None:
        failed = await self._send(notice)
        if failed is None:
            await asyncio.to_thread(self._settle_delivered, notice)
            done.delivered += 1
        elif await asyncio.to_thread(self._settle_failed, notice, failed):
            done.postponed += 1
        else:
            done.dead += 1

    async def _send(self, notice: StoredNotice) -> Failed | None:
        try:
            destination = self._destinations.opened(notice.destination)
        except (CredentialUnreadableError, EncryptionKeyError):
            # A key that is missing here may be there in a minute: the operator mends it, nobody sends again by hand.
            return Failed("The webhook's secret cannot be decrypted with the keys in M2M_ENCRYPTION_KEYS.")
        return await self._hand_over(destination, notice.event)

    async def _hand_over(self, destination: Destination, told: Event) -> Failed | None:
        try:
            return await self._senders[destination.kind].send(destination, told)
        except Exception as error:  # a sender raises nothing; one that does takes no other notice with it
            logging.getLogger(__name__).exception("A notice by %s met a fault of ours", destination.kind)
            return Failed(f"A fault of ours ({type(error).__name__}).")

    @retrying_transient
    def _settle_delivered(self, notice: StoredNotice) -> None:
        with self._database.begin() as tx:
            outbox.mark_delivered(tx, notice.id)

    @retrying_transient
    def _settle_failed(self, notice: StoredNotice, failed: Failed) -> bool:
        delay = delay_after(notice.attempts)
        with self._database.begin() as tx:
            return outbox.postpone(tx, notice, failed.why, delay, self._patience, final=failed.final)
