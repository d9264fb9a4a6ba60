"""Follows a tenant's chain through the database, page by page: memory stays flat, no transaction lasts."""

from collections.abc import Iterator

from m2m_pipeline.domain.audit_chain import Fault, Link, Position
from m2m_pipeline.storage import audit_chain
from m2m_pipeline.storage.database import Database

PAGE = 5_000


def follow(
    database: Database, tenant_id: int, position: Position, *, most: int | None = None
) -> Iterator[Link | Fault]:
    """Each link (at most `most`) that follows `position`, which moves along; at the first fault, that and no more.

    The end of the chain is what it is when this begins. Nothing that it may rest on was computed by the database.
    """
    with database.begin() as tx:
        last, _ = audit_chain.find_heads(tx, [tenant_id])[tenant_id]
    if most is not None:
        last = min(last, position.number + most)
    while position.number < last:
        with database.begin() as tx:
            page = audit_chain.list_links(tx, tenant_id, position.number, min(position.number + PAGE, last))
        if not page:
            yield Fault(position.number + 1, None, "is gone, and thousands after it.")
            return
        for link in page:
            if fault := position.advance(tenant_id, link):
                yield fault
                return
            yield link
