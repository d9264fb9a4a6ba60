"""An audit log to be tampered with: two tenants, entries over days, and whoever owns the tables."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString

import psycopg

from m2m_pipeline.delivery.archive import DirectoryArchive
from m2m_pipeline.domain.audit_chain import GENESIS, link_hash
from m2m_pipeline.domain.digests import DigestArchive
from m2m_pipeline.services.audit.signing import Signatures, generate
from m2m_pipeline.services.auditing import Auditing
from m2m_pipeline.storage import audit_chain
from m2m_pipeline.storage.database import Database

OURS, THEIRS = 1, 2
NAMES = {OURS: "acme", THEIRS: "bolt"}
SECRET, PUBLIC = generate()

_WRITE: LiteralString = """
    INSERT INTO m2m.audit_entry (tenant_id, at, kind, actor, bulk_change_id, device_change_id, iccid, old_rate_plan,
        new_rate_plan, outcome, message, request, response)
    SELECT 1 + n %% 2, clock_timestamp() - interval '30 days' + n * interval '10 minutes', 'CARRIER_CALL', 'run é',
        n / 50, n, '8988216716970' || n, 'Plan "Old"', E'Plan\tNew', 'APPLIED', CASE WHEN n %% 3 = 0 THEN '=2+2' END,
        jsonb_build_object('attempt', n, 'ratePlan', 'ü'), CASE WHEN n %% 4 > 0 THEN '{"httpStatus": 200}'::jsonb END
    FROM generate_series(%(first)s::bigint, %(last)s) n
"""


class Log:
    """The log, those who keep it, and the owner of its tables."""

    def __init__(self, database_url: str, place: DigestArchive) -> None:
        self.url = database_url
        self.place = place
        self.database = Database(database_url)
        self.auditing = Auditing(self.database, place, Signatures(SECRET, ()))
        self._written = 0
        with self.owner() as owner:
            for name in NAMES.values():
                owner.execute("INSERT INTO m2m.tenant (name) VALUES (%s)", (name,))

    def write(self, count: int) -> None:
        """So many entries, by turns of both tenants."""
        with self.owner() as owner:
            owner.execute(_WRITE, {"first": self._written, "last": self._written + count - 1})
        self._written += count

    @contextmanager
    def owner(self) -> Generator[psycopg.Connection]:
        """One transaction as the owner of the tables."""
        with psycopg.connect(self.url.replace("+psycopg", "")) as connection:
            yield connection

    @contextmanager
    def tampering(self) -> Generator[psycopg.Connection]:
        """One transaction as the owner, who has switched the triggers off, and leaves no trace of that."""
        with self.owner() as owner:
            owner.execute("ALTER TABLE m2m.audit_entry DISABLE TRIGGER USER")
            owner.execute("ALTER TABLE m2m.audit_link DISABLE TRIGGER USER")
            yield owner
            owner.execute("ALTER TABLE m2m.audit_entry ENABLE TRIGGER USER")
            owner.execute("ALTER TABLE m2m.audit_link ENABLE TRIGGER USER")

    def length(self, tenant_id: int = OURS) -> int:
        """How many links the tenant's chain has."""
        with self.database.begin() as tx:
            return audit_chain.find_heads(tx, [tenant_id])[tenant_id][0]

    def chain_anew(self, owner: psycopg.Connection, tenant_id: int = OURS) -> None:
        """Make the hashes right again for what is there now, in the order that is there now: nobody needs a key."""
        rows = owner.execute("SELECT number FROM m2m.audit_link WHERE tenant_id = %s ORDER BY number", (tenant_id,))
        numbers = [number for (number,) in rows]
        owner.commit()
        head = GENESIS
        with self.database.begin() as tx:
            links = audit_chain.list_links(tx, tenant_id, 0, numbers[-1])
        for link in links:
            assert link.entry is not None
            head = link_hash(head, tenant_id, link.number, link.sealed_at, link.entry)
            owner.execute(
                "UPDATE m2m.audit_link SET hash = %s WHERE tenant_id = %s AND number = %s",
                (head, tenant_id, link.number),
            )


def directory(path: Path) -> DirectoryArchive:
    return DirectoryArchive(path / "digests")
