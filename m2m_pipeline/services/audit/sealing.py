"""Seals the entries of the audit log: whoever writes one never waits for a chain, and the chain follows in seconds.

Done in this process and not by the database: the same function seals and verifies, and it is as quick (docs/audit.md).
"""

from collections.abc import Sequence

from sqlalchemy import Connection

from m2m_pipeline.domain.audit_chain import link_hash
from m2m_pipeline.storage import audit_chain
from m2m_pipeline.storage.audit_chain import Unsealed
from m2m_pipeline.storage.database import Database, retrying_briefly

PAGE = 5_000
"""Entries a transaction: a tenth of a second, some megabytes."""


@retrying_briefly
def seal(database: Database, *, all_of_it: bool = False) -> int:
    """Give every committed entry its link, in the order of ids, each tenant's in its own chain; how many.

    Safe beside others that do the same, and again after a crash. `all_of_it`: looks through the whole log, also for
    what nobody could have written since the last look.

    Raises:
        DatabaseUnavailableError: what was sealed before stays so.

    """
    with database.begin() as tx:
        sealing = audit_chain.begin_sealing(tx, all_of_it=all_of_it)
    sealed, after = 0, sealing.after
    while True:
        with database.begin() as tx:
            audit_chain.lock(tx)
            end = audit_chain.find_end(tx, after, PAGE)
            if end is None:
                return sealed
            sealed += _seal_range(tx, after, end, sealing.at)
        after = end


def _seal_range(tx: Connection, after: int, end: int, sealed_at: str) -> int:
    """Seal what has no link among the entries of these ids; how many."""
    page = audit_chain.list_unsealed(tx, after, end)
    if page:
        heads = audit_chain.find_heads(tx, sorted({one.tenant_id for one in page}))
        audit_chain.insert_links(tx, sealed_at, _linked(page, heads, sealed_at))
    return len(page)


def _linked(
    page: Sequence[Unsealed], heads: dict[int, tuple[int, bytes]], sealed_at: str
) -> list[tuple[int, int, int, bytes]]:
    """The links (tenant, number, entry, hash) that continue the chains from their `heads`, which move along."""
    links: list[tuple[int, int, int, bytes]] = []
    for one in page:
        number, head = heads[one.tenant_id]
        number += 1
        head = link_hash(head, one.tenant_id, number, sealed_at, one.entry)
        heads[one.tenant_id] = number, head
        links.append((one.tenant_id, number, int(one.entry[0] or 0), head))
    return links
