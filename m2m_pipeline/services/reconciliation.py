"""Settles what ended unknown: asks the carrier, lets AMOP follow, and tells the end of the bulk change anew.

Nothing is ever sent from here: a change that was not made is reported, not repeated.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from m2m_pipeline.domain.accounts import Credential, ServiceProvider, VerifyMode
from m2m_pipeline.domain.attempt import Attempt
from m2m_pipeline.domain.status import OPEN_DEVICES, DeviceStatus
from m2m_pipeline.services.execution import amop, finish
from m2m_pipeline.services.execution.access import Denied
from m2m_pipeline.services.execution.readback import peek, settle
from m2m_pipeline.services.execution.running import run
from m2m_pipeline.services.execution.sessions import Sessions
from m2m_pipeline.services.execution.workbench import Workbench
from m2m_pipeline.services.reporting import ResultDocument, fold
from m2m_pipeline.storage import bulk_changes, device_changes, leases, tallies
from m2m_pipeline.storage.database import Database

EARLIEST_DAY = timedelta(hours=14)
"""So long before it does in UTC, a day begins in the earliest time zone."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What one pass over a provider came to, in devices; `bulk_changes` are the documents that were told anew."""

    provider: str
    settled: int
    unknown: int  # still, though they could be known
    to_come: int  # changes for a day that has not come
    bulk_changes: Sequence[ResultDocument]
    denied: str | None = None  # why the carrier could not be asked


class Reconciliation:
    """Settling, one provider at a time."""

    def __init__(self, database: Database, sessions: Sessions, share: float) -> None:
        """`share`: of the account's rate, beside bulk changes."""
        self._database = database
        self._sessions = sessions
        self._share = share

    def settle(self, provider: ServiceProvider) -> Reconciled:
        """Settle the provider's ended bulk changes as far as the carrier lets us.

        Safe beside runs and other passes, since each bulk change is leased. Killed at any point, the next pass goes on.

        Raises:
            LeaseLostError: another pass took over; what was known before is committed.

        """
        credential = self._sessions.credential(provider)
        if isinstance(credential, Denied):
            return Reconciled(provider.name, 0, *self._count_unsettled(provider), (), str(credential))
        owner = f"reconcile-{secrets.token_hex(6)}"
        documents: list[ResultDocument] = []
        settled, last = 0, 0
        while attempt := self._next(provider, owner, last):
            last = attempt.bulk_change_id
            devices, document = self._settle_one(provider, credential, attempt)
            settled += devices
            documents += [document] if document else []
        return Reconciled(provider.name, settled, *self._count_unsettled(provider), documents)

    def _settle_one(
        self, provider: ServiceProvider, credential: Credential, attempt: Attempt
    ) -> tuple[int, ResultDocument | None]:
        """Settle one bulk change; how many devices were, and its end told anew where something moved since it was."""
        before, _ = self._found_and_told(attempt)
        run(self._read_back(provider, credential, attempt))
        unverified = provider.verify is VerifyMode.NONE
        amop.update_amop(self._database, attempt, None, unverified=unverified)
        now, told = self._found_and_told(attempt)
        settled = _open(before) - _open(now)
        # A pass that died may have moved what this one found in its place.
        if now != before or (told is not None and now != told):
            return settled, finish.finish_again(self._database, attempt)
        with self._database.begin() as tx:
            leases.release(tx, attempt.owner)
        return settled, None

    async def _read_back(self, provider: ServiceProvider, credential: Credential, attempt: Attempt) -> None:
        with self._database.begin() as tx:
            work = device_changes.load_unknown(tx, attempt.bulk_change_id)
            due = device_changes.load_just_due(tx, attempt.bulk_change_id)
        session = self._sessions.open(attempt, provider, credential, share=self._share)
        bench = Workbench(session, {device.id: device for device in (*work, *due)})
        midnight = datetime.combine(datetime.now(UTC), time(), UTC)
        try:
            async with session.lease.kept(), bench.committing():
                await settle(bench, provider.verify, work)
                await peek(bench, provider.verify, due, midnight - EARLIEST_DAY)
        finally:
            await session.close()

    def _found_and_told(self, attempt: Attempt) -> tuple[Mapping[DeviceStatus, int], object]:
        """How many devices are in which status by the rows, and by the result document."""
        with self._database.begin() as tx:
            change = bulk_changes.find(tx, attempt.bulk_change_id)
            assert change is not None
            return fold(tx, change).counts, change.result["counts"] if change.result else None

    def _next(self, provider: ServiceProvider, owner: str, after: int) -> Attempt | None:
        with self._database.begin() as tx:
            return leases.claim_unsettled(tx, provider.id, owner, self._sessions.lease_seconds, after)

    def _count_unsettled(self, provider: ServiceProvider) -> tuple[int, int]:
        with self._database.begin() as tx:
            return tallies.count_unsettled(tx, provider.id)


def _open(counts: Mapping[DeviceStatus, int]) -> int:
    return sum(devices for status, devices in counts.items() if status in OPEN_DEVICES)
