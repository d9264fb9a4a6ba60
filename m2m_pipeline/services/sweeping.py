"""Takes up what died: the next attempt is queued, and after too many the bulk change is ended with what is known.

Every decision is one transaction over a locked row, guarded by the number of the attempt: sweeping twice, at once or
again after a crash in the middle, does nothing more.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection

from m2m_pipeline.domain.accounts import VerifyMode
from m2m_pipeline.domain.attempt import Attempt
from m2m_pipeline.domain.audit import AuditKind
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline.services.execution import amop, finish
from m2m_pipeline.services.reporting import ResultDocument
from m2m_pipeline.storage import accounts, audit, bulk_changes, leases
from m2m_pipeline.storage.database import Database
from m2m_pipeline.storage.leases import Stranded

MAX_ATTEMPTS = 5
"""Attempts in a row that brought no device any further. One that got on may be followed by any number."""

LOADING_SECONDS = 60.0
"""A run's process may take so long to load on a machine that starts many: a short lease must not make it pass for dead,
or each attempt is given up before it begins."""

ACTOR = "sweeper"


@dataclass(frozen=True, slots=True)
class Swept:
    """A bulk change whose attempt was given up; `document` where it has ended with it."""

    bulk_change_id: int
    attempt: int
    document: ResultDocument | None = None


class Sweeping:
    """What heals by itself. Knows rows; which runs have ended, its caller asks the orchestrator."""

    def __init__(self, database: Database, lease_seconds: float) -> None:
        self._database = database
        self._lease_seconds = lease_seconds

    def sweep_leases(self) -> Iterator[Swept]:
        """Give up each attempt whose lease is free or has run out while its bulk change has not ended."""
        last = 0
        while True:
            with self._database.begin() as tx:
                stranded = leases.lock_stranded(tx, last)
                if stranded is None:
                    return
                held = f"run {stranded.owner} let its lease run out" if stranded.owner else "nobody holds its lease"
                attempt = self._give_up(tx, stranded, f"Attempt {stranded.attempt} did not end: {held}.")
            last = stranded.id
            yield self._swept(stranded, attempt)

    def give_up_dispatch(self, bulk_change_id: int, attempt: int, why: str) -> Swept | None:
        """Give up an attempt that waits for a run which will not come; None where it waits no longer."""
        with self._database.begin() as tx:
            stranded = leases.lock_queued(tx, bulk_change_id, attempt)
            if stranded is None:
                return None
            taken = self._give_up(tx, stranded, f"Attempt {attempt} never began: {why}")
        return self._swept(stranded, taken)

    def disown(self, bulk_change_id: int, owner: str) -> bool:
        """Whether the run `owner`, which began long ago, is to be taken for dead: nothing of its bulk change is its.

        Nor is there anything that it could be at where there is no such bulk change.
        """
        with self._database.begin() as tx:
            standing = leases.find_standing(tx, bulk_change_id, owner)
            if standing is None:
                return True
            if standing.holds_lease or standing.quiet_seconds < self.grace_seconds:
                return False
            _note(tx, standing.tenant_id, bulk_change_id, "RUN_ENDED", f"Run {owner} has no sign of life.")
            return True

    @property
    def grace_seconds(self) -> float:
        """How long a run may be without its lease before it is taken for dead."""
        return max(2 * self._lease_seconds, LOADING_SECONDS)

    def _give_up(self, tx: Connection, stranded: Stranded, why: str) -> Attempt | None:
        """Queue the next attempt; or, after the last, take the lease to end the bulk change."""
        if stranded.fruitless < MAX_ATTEMPTS:
            assert leases.queue_next_attempt(tx, stranded)  # its row is locked
            _note(tx, stranded.tenant_id, stranded.id, BulkChangeStatus.QUEUED.value, why)
            return None
        attempt = leases.claim(tx, stranded.id, f"sweep-{secrets.token_hex(6)}", self._lease_seconds)
        assert attempt is not None
        _note(tx, stranded.tenant_id, stranded.id, "GIVEN_UP", why)
        message = f"{MAX_ATTEMPTS} attempts in a row brought no device any further. {why}"
        bulk_changes.stop(tx, attempt, ReasonCode.RUN_ATTEMPTS_EXHAUSTED, message)
        return attempt

    def _swept(self, stranded: Stranded, attempt: Attempt | None) -> Swept:
        return Swept(stranded.id, stranded.attempt, self._end(stranded, attempt) if attempt else None)

    def _end(self, stranded: Stranded, attempt: Attempt) -> ResultDocument:
        """End the bulk change without its run. Killed in here, its lease runs out and the next sweep does the same."""
        with self._database.begin() as tx:
            provider = accounts.find_provider(tx, stranded.tenant_id, provider_id=stranded.service_provider_id)
        unverified = provider is not None and provider.verify is VerifyMode.NONE
        amop.update_amop(self._database, attempt, None, unverified=unverified)
        return finish.finish(self._database, attempt)


def _note(tx: Connection, tenant_id: int, bulk_change_id: int, outcome: str, message: str) -> None:
    audit.write(
        tx,
        AuditKind.ATTEMPT_ABANDONED,
        tenant_id=tenant_id,
        actor=ACTOR,
        outcome=outcome,
        bulk_change_id=bulk_change_id,
        message=message,
    )
