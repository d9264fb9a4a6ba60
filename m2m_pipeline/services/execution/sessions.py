"""Opens sessions with carrier accounts, and keeps those that last over several steps of a run."""

import asyncio
from dataclasses import dataclass
from functools import partial

from m2m_pipeline.domain.accounts import Credential, ServiceProvider
from m2m_pipeline.domain.attempt import Attempt
from m2m_pipeline.domain.carrier import Carriers
from m2m_pipeline.domain.change import BulkChange
from m2m_pipeline.services.credentials import Credentials
from m2m_pipeline.services.execution.access import Denied, probe
from m2m_pipeline.services.execution.lease import Lease
from m2m_pipeline.services.execution.pipeline import Pipeline
from m2m_pipeline.services.execution.running import run
from m2m_pipeline.services.execution.session import Patience, Session
from m2m_pipeline.services.paced import CarrierDoor
from m2m_pipeline.storage.database import Database


@dataclass(frozen=True, slots=True)
class ExecutionSettings:
    """How an attempt works (seconds)."""

    lease_seconds: float
    patience: Patience


class Sessions:
    """The sessions of this process."""

    def __init__(
        self, database: Database, credentials: Credentials, door: CarrierDoor, settings: ExecutionSettings
    ) -> None:
        self._database = database
        self._credentials = credentials
        self._door = door
        self._settings = settings
        self._pipelines: dict[str, Pipeline] = {}  # by the owner of the attempt

    @property
    def carriers(self) -> Carriers:
        """The carriers that there are."""
        return self._door.carriers

    @property
    def lease_seconds(self) -> float:
        """How long a lease lasts."""
        return self._settings.lease_seconds

    def credential(self, provider: ServiceProvider) -> Credential | Denied:
        """The provider's credential in clear, or why there is none."""
        return self._credentials.load(provider)

    def open(
        self,
        attempt: Attempt,
        provider: ServiceProvider,
        credential: Credential,
        priority: int = 0,
        *,
        stopped: bool = False,
        share: float | None = None,
    ) -> Session:
        """A session for the running event loop; to be closed by the caller. `share`: as `CarrierDoor.open` has it."""
        lease = Lease(self._database, attempt, self._settings.lease_seconds)
        carrier = self._door.open(provider, credential, priority, share=share)
        return Session(self._database, lease, carrier, self._settings.patience, stopped)

    async def probe(self, attempt: Attempt, provider: ServiceProvider) -> Denied | None:
        """Whether the account lets the attempt in: None if it does."""
        credential = await self._credential(attempt, provider)
        if isinstance(credential, Denied):
            return credential
        session = self.open(attempt, provider, credential)
        try:
            async with session.lease.kept():
                return await probe(session.carrier, provider, self._settings.patience.outage)
        finally:
            await session.close()

    def pipeline(self, attempt: Attempt, provider: ServiceProvider, change: BulkChange) -> Pipeline | Denied:
        """The attempt's work at the carrier, begun or as it stands; why there is none where there is no credential."""
        if attempt.owner not in self._pipelines:
            credential = run(self._credential(attempt, provider))
            if isinstance(credential, Denied):
                return credential
            stopped = change.reason is not None
            opening = partial(self.open, attempt, provider, credential, change.priority, stopped=stopped)
            self._pipelines[attempt.owner] = Pipeline(opening, provider.verify)
        return self._pipelines[attempt.owner]

    async def _credential(self, attempt: Attempt, provider: ServiceProvider) -> Credential | Denied:
        """As `credential`; a secret store that takes its time does not cost the attempt its lease."""
        async with Lease(self._database, attempt, self._settings.lease_seconds).kept():
            return await asyncio.to_thread(self.credential, provider)

    def end(self, owner: str) -> None:
        """End what an attempt has under way: its calls are waited for, for a while, and what is known is committed."""
        if pipeline := self._pipelines.get(owner):
            pipeline.close()
            self._pipelines.pop(owner, None)

    def close(self) -> None:
        """End everything that is under way."""
        for owner in list(self._pipelines):
            self.end(owner)
