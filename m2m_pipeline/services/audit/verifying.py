"""Verifies a tenant's audit log: entry by entry against its chain, and the chain against the signed digests."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from m2m_pipeline.domain.audit_chain import MARK_BYTES, Fault, Link, Position
from m2m_pipeline.domain.digests import Digest
from m2m_pipeline.services.audit.digests import Archive, find_lost, position_after, read_digests
from m2m_pipeline.services.audit.following import follow
from m2m_pipeline.services.audit.signing import UnsignedError
from m2m_pipeline.storage import audit_chain
from m2m_pipeline.storage.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What is proven of a tenant's log, and the first thing that is wrong with it."""

    tenant: str
    checked_from: int  # 1, or where the last digest ends
    proven: int  # up to this number each entry is the one that was sealed, in its place
    signed: int  # and up to this one a signed digest says so: there nobody with the database alone can have changed it
    signed_at: str | None  # when that digest was made
    unsealed: int  # entries that have no link yet: nothing is proven of them
    fault: Fault | None

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return self.fault is None


class _Against:
    """The chain's links as they come, held against the digests as they cover them."""

    def __init__(self, told: Iterator[Digest | Fault]) -> None:
        self._told = told
        self.held: Digest | None = None  # the last digest whose whole range has come and agreed
        self.broken: Fault | None = None  # what is wrong with the digests themselves
        self.missing = self._read()  # the first digest whose whole range has not come

    def _read(self) -> Digest | None:
        one = next(self._told, None)
        if isinstance(one, Fault):
            self.broken = one
            return None
        return one

    def compare(self, link: Link) -> Fault | None:
        """What is wrong with a link according to the digest that covers it."""
        digest = self.missing
        if digest is None:
            return None
        same = digest.mark(link.number) == link.hash[:MARK_BYTES].hex()
        if link.number == digest.last:
            same = same and digest.head == link.hash.hex()
        if not same:
            told = f"the chain was made anew: it is not the one that was signed {digest.made_at} ({digest.name})."
            return Fault(link.number, link.entry_id, told)
        if link.number == digest.last:
            self.held, self.missing = digest, self._read()
        return None


def verify(database: Database, archive: Archive | None, tenant_id: int, tenant: str, names: Sequence[str]) -> Verified:
    """Verify the whole log of a tenant against its digests, whose `names` are given in order.

    Raises:
        ArchiveUnavailableError: the digests cannot be read; nothing was verified.
        DatabaseUnavailableError: as it says.

    """
    told = read_digests(database, archive, tenant_id, names) if archive else iter(())
    against, position = _Against(told), Position()
    fault = _compare_all(database, tenant_id, position, against)
    if fault is None and (digest := against.missing):
        fault = Fault(
            position.number + 1,
            None,
            f"is gone, with all up to number {digest.last} that a digest counts ({digest.made_at}, {digest.name}).",
        )
    proven, signed = fault.number - 1 if fault else position.number, against.held
    return Verified(
        tenant=tenant,
        checked_from=1,
        proven=proven,
        signed=signed.last if signed else 0,
        signed_at=signed.made_at if signed else None,
        unsealed=_count_unsealed(database, tenant_id),
        fault=fault or against.broken,
    )


def verify_recent(database: Database, archive: Archive | None, tenant_id: int, tenant: str) -> Verified:
    """Verify what has come since the tenant's last digest, which is believed for all before: quick in a long log.

    Raises as `verify`.
    """
    try:
        last, _ = archive.last(tenant_id) if archive else (None, b"")
    except UnsignedError as error:
        return _unverified(tenant, Fault(1, None, str(error)))
    if archive and (lost := find_lost(database, archive, tenant_id, last.last if last else 0)):
        return _unverified(tenant, lost)
    position = position_after(last)
    fault = _still_there(database, tenant_id, last) or _compare_all(database, tenant_id, position, _Against(iter(())))
    return Verified(
        tenant=tenant,
        checked_from=last.last if last else 1,
        proven=position.number,
        signed=last.last if last else 0,
        signed_at=last.made_at if last else None,
        unsealed=_count_unsealed(database, tenant_id),
        fault=fault,
    )


def _compare_all(database: Database, tenant_id: int, position: Position, against: _Against) -> Fault | None:
    for link in follow(database, tenant_id, position):
        fault = link if isinstance(link, Fault) else against.compare(link)
        if fault:
            return fault
    return None


def _still_there(database: Database, tenant_id: int, digest: Digest | None) -> Fault | None:
    """Whether the chain still has the link at which the digest ended."""
    if digest is None:
        return None
    with database.begin() as tx:
        found = audit_chain.list_links(tx, tenant_id, digest.last - 1, digest.last)
    if found and found[0].hash.hex() == digest.head:
        return None
    return Fault(
        digest.last, found[0].entry_id if found else None, f"is not what the digest {digest.name} says: verify it all."
    )


def _count_unsealed(database: Database, tenant_id: int) -> int:
    with database.begin() as tx:
        return audit_chain.count_unsealed(tx, tenant_id)


def _unverified(tenant: str, fault: Fault) -> Verified:
    return Verified(tenant=tenant, checked_from=1, proven=0, signed=0, signed_at=None, unsealed=0, fault=fault)
