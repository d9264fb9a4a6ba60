"""The search for drift, one provider at a time."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from m2m_pipeline.domain.accounts import Credential, ServiceProvider
from m2m_pipeline.domain.drift import DRIFT, DriftCause
from m2m_pipeline.domain.passes import Pass, PassSummary
from m2m_pipeline.services.accounts import CarrierCallFailedError
from m2m_pipeline.services.drift.checking import check
from m2m_pipeline.services.drift.desk import Desk
from m2m_pipeline.services.drift.listing import begin, read_list
from m2m_pipeline.services.drift.repair import NOTHING, Repaired, repair
from m2m_pipeline.services.execution.access import Denied
from m2m_pipeline.services.execution.running import run
from m2m_pipeline.services.execution.sessions import Sessions
from m2m_pipeline.services.notifying import tell_drift
from m2m_pipeline.services.paced import CarrierDoor
from m2m_pipeline.services.submission import Submission
from m2m_pipeline.storage import accounts, differences, drift, passes
from m2m_pipeline.storage.best_effort import best_effort
from m2m_pipeline.storage.database import Database, retrying_transient

MOST_AGE_HOURS = 24
"""An interrupted pass that is older starts anew."""


@dataclass(frozen=True, slots=True)
class DriftSettings:
    """`share` of the account's rate beside bulk changes; `full_every_hours` the whole list is read."""

    share: float
    full_every_hours: float


@dataclass(frozen=True, slots=True)
class Found:
    """What one call came to. `counts` are the provider's devices that differ now, by cause.

    `stopped` says why the pass is not done; `summary` is None where there was none to work on. `elsewhere`: that was no
    fault, another process works on it.
    """

    provider: str
    counts: Mapping[DriftCause, int]
    summary: PassSummary | None = None
    resolved: int = 0
    repaired: Repaired = NOTHING
    stopped: str | None = None
    elsewhere: bool = False

    @property
    def drifted(self) -> int:
        """Devices whose difference is drift, not something under way."""
        return sum(count for cause, count in self.counts.items() if cause in DRIFT)


class Drifting:
    """What the schedule, the command line and the catalog call."""

    def __init__(
        self,
        database: Database,
        sessions: Sessions,
        door: CarrierDoor,
        submission: Submission,
        settings: DriftSettings,
    ) -> None:
        self._database = database
        self._sessions = sessions
        self._door = door
        self._submission = submission
        self._settings = settings

    def providers(self) -> Sequence[tuple[str, ServiceProvider]]:
        """The service providers that can be asked, those with a credential, each with its tenant's name."""
        with self._database.begin() as tx:
            return accounts.list_with_credential(tx)

    def find(self, provider: ServiceProvider, *, full: bool = False) -> Found:
        """Compare the provider's inventory with the carrier's; by what was modified since the last pass, or in `full`.

        An interrupted pass is gone on with; at the end of one, the provider's policy says what is done about drift.
        Safe beside runs and other calls: each pass is one process's at a time.

        Raises:
            PassLostError: another process took over; what was known before is committed.

        """
        credential = self._sessions.credential(provider)
        if isinstance(credential, Denied):
            return self._nothing(provider, str(credential))
        work = self._take(provider, full=full)
        if work is None:
            why = "Another process works on a pass of this provider. Nothing was done."
            return self._nothing(provider, why, elsewhere=True)
        resolved, stopped = run(self._work(provider, credential, work))
        repaired = NOTHING if stopped else repair(self._database, self._submission, provider)
        with self._database.begin() as tx:
            counts, summary = drift.count_open(tx, provider.id), passes.find_summary(tx, work.id)
        return Found(provider.name, counts, summary, resolved, repaired, stopped)

    def counts(self, provider: ServiceProvider) -> Mapping[DriftCause, int]:
        """The provider's devices that differ now, by cause."""
        with self._database.begin() as tx:
            return drift.count_open(tx, provider.id)

    def rows(self, provider: ServiceProvider) -> Iterator[tuple[str, ...]]:
        """One tuple of words for each device that differs, as `DRIFT_COLUMNS` names them; '' for none."""
        with self._database.begin() as tx:
            yield from drift.each_open(tx, provider.id)

    async def _work(self, provider: ServiceProvider, credential: Credential, work: Pass) -> tuple[int, str | None]:
        """Bring the pass to its end; how many records were closed, and what stopped it."""
        carrier = self._door.open(provider, credential, share=self._settings.share)
        desk = Desk(self._database, carrier, self._sessions.lease_seconds, work)
        stopped, resolved = None, 0
        try:
            if work.begun_at is None:
                await begin(desk, None if work.full else await desk.look(_watermark))
            await read_list(desk)
            await check(desk)
            resolved = self._finish(provider, desk)
        except CarrierCallFailedError as error:
            stopped = f"{error} The next pass goes on from here."
        finally:
            try:
                with best_effort(f"Pass {work.id} was not given back: its lease runs out by itself."):
                    self._release(desk)
            finally:
                await carrier.close()
        return resolved, stopped

    @retrying_transient
    def _take(self, provider: ServiceProvider, *, full: bool) -> Pass | None:
        owner = f"reconcile-{secrets.token_hex(6)}"
        seconds = self._sessions.lease_seconds
        with self._database.begin() as tx:
            passes.abandon_unfit(tx, provider, MOST_AGE_HOURS, full=full)
            full = full or passes.full_is_due(tx, provider.id, self._settings.full_every_hours)
            return passes.claim(tx, provider, owner, seconds) or passes.start(tx, provider, owner, seconds, full=full)

    @retrying_transient
    def _finish(self, provider: ServiceProvider, desk: Desk) -> int:
        """Close what is over, end the pass and tell of it; how many records were closed."""
        with self._database.begin() as tx:
            resolved = drift.resolve(tx, desk.work)
            before, counts = passes.last_counts(tx, provider.id), drift.count_open(tx, provider.id)
            unchecked = differences.count_candidates(tx, desk.work)
            passes.finish(tx, desk.work, counts, unchecked, desk.carrier.pacer.take_calls())
            tell_drift(tx, provider, before, counts, drift.count_new(tx, desk.work))
        return resolved

    def _release(self, desk: Desk) -> None:
        with self._database.begin() as tx:
            passes.release(tx, desk.work, desk.carrier.pacer.take_calls())

    def _nothing(self, provider: ServiceProvider, why: str, *, elsewhere: bool = False) -> Found:
        with self._database.begin() as tx:
            return Found(provider.name, drift.count_open(tx, provider.id), stopped=why, elsewhere=elsewhere)


def _watermark(connection: Connection, work: Pass) -> datetime | None:
    return passes.watermark(connection, work.service_provider_id)
