"""Removes what is no longer needed, and writes down what it was: into its tenant's audit log, where it was a tenant's.

Never removed: audit entries and their seals, bulk changes with their devices and results, and what has not ended.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from m2m_pipeline.domain.audit import AuditKind
from m2m_pipeline.storage import audit, retention
from m2m_pipeline.storage.database import Database, retrying_transient

BATCH = 5_000
"""Rows a transaction."""

ACTOR = "retention"


class Retention:
    """The use case. Which runs Dagster has, its caller asks the orchestrator."""

    def __init__(self, database: Database, *, record_days: int, run_days: int) -> None:
        self._database = database
        self._record_days = record_days
        self._run_days = run_days

    def purge_records(self) -> Mapping[str, int]:
        """Delete expired records, in batches; how many of which table. Killed in between, the next time goes on.

        Raises:
            DatabaseUnavailableError: what was deleted before is on record.

        """
        before = self._limit(self._record_days)
        removed: Counter[str] = Counter()
        for table in retention.EXPIRED:
            while count := self._purge_batch(table, before):
                removed[table] += count
        return removed

    def run_limit(self) -> datetime:
        """Runs that began before may be removed."""
        return self._limit(self._run_days)

    def ended(self, bulk_change_ids: Sequence[int]) -> Mapping[int, int]:
        """Those of the bulk changes whose runs nobody needs any more, with the tenant of each."""
        with self._database.begin() as tx:
            return retention.list_ended(tx, bulk_change_ids)

    def under_way(self, bulk_change_ids: Sequence[int]) -> Collection[int]:
        """Those of the bulk changes whose runs are needed: they have not ended. Ask for these before `ended`."""
        with self._database.begin() as tx:
            return retention.list_under_way(tx, bulk_change_ids)

    def note(self, records: str, counts: Mapping[int | None, int], before: datetime) -> None:
        """Record that so many records of each tenant (None: of the platform) are about to be removed elsewhere."""
        with self._database.begin() as tx:
            _note(tx, records, counts, before)

    @retrying_transient
    def _purge_batch(self, table: str, before: datetime) -> int:
        """Delete one batch, and record it in the same transaction."""
        with self._database.begin() as tx:
            counts = retention.delete_expired(tx, table, before, BATCH)
            _note(tx, table, counts, before)
        return sum(counts.values())

    def _limit(self, days: int) -> datetime:
        with self._database.begin() as tx:
            return retention.find_limit(tx, days)


def _note(tx: Connection, records: str, counts: Mapping[int | None, int], before: datetime) -> None:
    for tenant_id, count in counts.items():
        if tenant_id is None:
            retention.record_purged(tx, records, count, before)
            continue
        audit.write(
            tx,
            AuditKind.RECORDS_PURGED,
            tenant_id=tenant_id,
            actor=ACTOR,
            outcome="PURGED",
            request={"records": records, "count": count, "before": before.isoformat()},
        )
