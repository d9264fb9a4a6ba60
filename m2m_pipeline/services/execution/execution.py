"""The steps of an attempt, each a method that the run's graph names.

Every step claims the lease anew, so that any selection of steps can be re-executed, and does only what the rows say is
still to be done.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from m2m_pipeline.domain.accounts import ServiceProvider, VerifyMode
from m2m_pipeline.domain.attempt import Attempt, NotClaimableError
from m2m_pipeline.domain.audit import AuditKind
from m2m_pipeline.domain.change import Batch, BulkChange, Target
from m2m_pipeline.domain.problems import Problem, RequestRejectedError
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.status import DeviceStatus
from m2m_pipeline.services.execution import amop, finish
from m2m_pipeline.services.execution.access import Denied, writes_denied
from m2m_pipeline.services.execution.claiming import claim, unknown, why_nothing_to_do
from m2m_pipeline.services.execution.running import run
from m2m_pipeline.services.execution.sessions import Sessions
from m2m_pipeline.services.reporting import ResultDocument, fold
from m2m_pipeline.services.validation import request_problems
from m2m_pipeline.storage import accounts, audit, bulk_changes, details, device_changes, leases, overlaps
from m2m_pipeline.storage.database import Database, retrying_transient

_AWAY = {ReasonCode.CARRIER_UNREACHABLE, ReasonCode.CREDENTIAL_STORE_UNREACHABLE}
"""Nobody has kept us out: no matter of security."""


class AccessDeniedError(Exception):
    """The carrier account does not let us in: the bulk change has ended, and this attempt has touched no device."""


class Execution:
    """What the Dagster ops call. `owner` is the run's id."""

    def __init__(self, database: Database, sessions: Sessions) -> None:
        self._database = database
        self._sessions = sessions

    def claim(self, bulk_change_id: int, owner: str) -> Attempt:
        """Take or renew the lease of a bulk change.

        Raises:
            NothingToDoError: it has ended, or another run works on it; the message says which.
            NotThisRunsError: it has to wait for an earlier bulk change, or was taken from this run.
            NotClaimableError: it does not exist, or nobody has started it; the message says what a person does.

        """
        return claim(self._database, bulk_change_id, owner, self._sessions.lease_seconds)

    def why_nothing_to_do(self, bulk_change_id: int, owner: str) -> str | None:
        """Why a run has nothing to do, where that is sure: it has ended, or another run works on it. Takes nothing."""
        with self._database.begin() as tx:
            return why_nothing_to_do(tx, bulk_change_id, owner)

    def validate_request(self, bulk_change_id: int, owner: str) -> None:
        """Examine the recorded request again: the world has moved since it came in.

        Where an earlier attempt has sent devices, a request that no longer holds stops, and they are brought to an end.

        Raises:
            NotThisRunsError: there is nothing for this run to do; the message says why.
            NotClaimableError: it does not exist, or nobody has started it; the message says what a person does.
            RequestRejectedError: the request no longer holds; the bulk change has ended as REJECTED.

        """
        attempt = self.claim(bulk_change_id, owner)
        problems, begun = self._examine(attempt)
        if problems and not begun:
            finish.finish(self._database, attempt, rejected=True)
            raise RequestRejectedError(problems)

    @retrying_transient
    def _examine(self, attempt: Attempt) -> tuple[Sequence[Problem], bool]:
        """What stands against the request now, which is stopped by it; and whether devices were sent before."""
        change, provider = _load(self._database, attempt)
        with self._database.fenced(attempt) as tx:
            audit.write(
                tx,
                AuditKind.ATTEMPT_STARTED,
                tenant_id=attempt.tenant_id,
                actor=f"run {attempt.owner}",
                outcome="STARTED",
                bulk_change_id=attempt.bulk_change_id,
            )
            day = max(change.effective_date, datetime.now(UTC).date()) if change.effective_date else None
            target = Target(change.rate_plan, change.communication_plan, day)
            problems = request_problems(tx, self._sessions.carriers, provider, target)
            if problems:
                message = " ".join(problem.message for problem in problems)
                bulk_changes.stop(tx, attempt, problems[0].code, message)
                details.fill_details(tx, attempt.bulk_change_id)
            return problems, device_changes.any_sent(tx, attempt.bulk_change_id)

    @retrying_transient
    def build_change_details(self, bulk_change_id: int, owner: str) -> dict[DeviceStatus, int]:
        """Write down each device's plan, and end the devices that need no call; devices by status. Idempotent."""
        attempt = self.claim(bulk_change_id, owner)
        with self._database.fenced(attempt) as tx:
            overlaps.end_waiting(tx, bulk_change_id)
            details.fill_details(tx, bulk_change_id)
            details.end_without_call(tx, bulk_change_id)
            audit.write_endings(tx, bulk_change_id, f"run {owner}", settled_only=True)
            change = bulk_changes.find(tx, bulk_change_id)
            assert change is not None
            return fold(tx, change).counts

    def authenticate_carrier(self, bulk_change_id: int, owner: str) -> None:
        """Make sure that the account lets us in, before any device is touched.

        Raises:
            AccessDeniedError: it does not; the bulk change has ended, FAILED unless devices were changed before.

        """
        attempt = self.claim(bulk_change_id, owner)
        _, provider = _load(self._database, attempt)
        denied = writes_denied(provider) or run(self._sessions.probe(attempt, provider))
        if denied is None:
            return
        self._stop(attempt, denied)
        # What an earlier attempt has changed and confirmed is AMOP's to know, whatever the carrier says now.
        amop.update_amop(self._database, attempt, None, unverified=False)
        finish.finish(self._database, attempt)
        raise AccessDeniedError(str(denied))

    @retrying_transient
    def _stop(self, attempt: Attempt, denied: Denied) -> None:
        with self._database.fenced(attempt) as tx:
            if denied.reason not in _AWAY:
                audit.write_kept_out(tx, attempt, denied.reason, denied.message)
            bulk_changes.stop(tx, attempt, denied.reason, denied.message)

    @retrying_transient
    def plan_batches(self, bulk_change_id: int, owner: str) -> Sequence[Batch]:
        """Cut the devices that are still open into batches, in row order."""
        attempt = self.claim(bulk_change_id, owner)
        with self._database.fenced(attempt) as tx:
            change = bulk_changes.find(tx, bulk_change_id)
            assert change is not None
            cut = details.assign_batches(tx, bulk_change_id, change.batch_size)
        return [
            Batch(bulk_change_id, number, size, first if change.batch_size == 1 else f"batch_{number:04d}")
            for number, size, first in cut
        ]

    def change_devices(self, batch: Batch, owner: str, *, read_ahead: bool = False) -> None:
        """Drive the devices of a batch through the carrier.

        `read_ahead`: the next batch is this run's too, and is begun as soon as the account has calls to spare.

        Raises:
            LeaseLostError: another attempt owns the bulk change; what was known before is committed.

        """
        attempt = self.claim(batch.bulk_change_id, owner)
        change, provider = _load(self._database, attempt)
        pipeline = self._sessions.pipeline(attempt, provider, change)
        if isinstance(pipeline, Denied):
            finish.stop(self._database, attempt, pipeline.reason, pipeline.message)
            return
        more = False
        try:
            pipeline.change(batch.number, read_ahead=read_ahead)
            more = read_ahead
        finally:
            if not more:
                self._sessions.end(owner)

    def update_amop(self, batch: Batch, owner: str) -> None:
        """Bring AMOP's inventory to what the carrier has applied in a batch."""
        attempt = self.claim(batch.bulk_change_id, owner)
        _, provider = _load(self._database, attempt)
        unverified = provider.verify is VerifyMode.NONE
        amop.update_amop(self._database, attempt, batch.number, unverified=unverified)

    @retrying_transient
    def write_audit(self, batch: Batch, owner: str) -> int:
        """Write the entry of every device of a batch that has ended; how many were missing. Idempotent."""
        attempt = self.claim(batch.bulk_change_id, owner)
        with self._database.fenced(attempt, shared=True) as tx:
            return audit.write_endings(tx, batch.bulk_change_id, f"run {owner}", batch.number)

    def finalize(self, bulk_change_id: int, owner: str) -> ResultDocument:
        """End the bulk change with the truth of its rows.

        Raises:
            OpenDevicesError: a device is open, so the bulk change has not ended.

        """
        self._sessions.end(owner)
        return finish.finish(self._database, self.claim(bulk_change_id, owner))

    def release(self, owner: str) -> None:
        """Give the lease back: this run has failed, and the next one need not wait for the lease to run out.

        Calls under way are waited for, for a while, and what is known is committed before.
        """
        self._sessions.end(owner)
        with self._database.begin() as tx:
            leases.release(tx, owner)

    def document(self, bulk_change_id: int) -> ResultDocument:
        """The result document as the rows stand now.

        Raises:
            NotClaimableError: there is no such bulk change.

        """
        with self._database.begin() as tx:
            change = bulk_changes.find(tx, bulk_change_id)
            if change is None:
                raise NotClaimableError(unknown(bulk_change_id))
            return fold(tx, change)


@retrying_transient
def _load(database: Database, attempt: Attempt) -> tuple[BulkChange, ServiceProvider]:
    with database.begin() as tx:
        change = bulk_changes.find(tx, attempt.bulk_change_id)
        assert change is not None
        provider = accounts.find_provider(tx, change.tenant_id, provider_id=change.service_provider_id)
        assert provider is not None
        return change, provider
