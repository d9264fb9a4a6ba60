"""Writes signed digests of each tenant's chain outside the database, and reads them back."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from m2m_pipeline.domain.audit_chain import MARK_BYTES, Fault, Position
from m2m_pipeline.domain.digests import Digest, DigestArchive, fingerprint, first_of, folder_of, is_digest
from m2m_pipeline.services.audit.following import follow
from m2m_pipeline.services.audit.signing import Signatures, UnsignedError
from m2m_pipeline.storage import audit_chain
from m2m_pipeline.storage.database import Database

MOST = 100_000
"""Links in one digest: a file of less than a megabyte."""


@dataclass(frozen=True, slots=True)
class Archive:
    """Where digests are kept, and whose signatures are believed."""

    place: DigestArchive
    signatures: Signatures

    def names(self, tenant_id: int | None = None) -> Sequence[str]:
        """The names of all digests (of a tenant), in order."""
        found = self.place.list_names(folder_of(tenant_id) if tenant_id is not None else "")
        return [name for name in found if is_digest(name)]

    def last(self, tenant_id: int) -> tuple[Digest | None, bytes]:
        """A tenant's last digest with its file, or None.

        Raises:
            UnsignedError: it is none that a believed key has signed; the message goes on after its name.

        """
        names = self.names(tenant_id)
        if not names:
            return None, b""
        content = self.place.read(names[-1])
        try:
            return self.signatures.read(content), content
        except UnsignedError as error:
            raise UnsignedError(f"the last digest, {names[-1]}, {error}.") from error

    def read_all(self, names: Sequence[str]) -> Iterator[Digest | Fault]:
        """The digests of one tenant, by their names in order; a fault, and no more, where they do not continue."""
        number, previous = 0, None
        for name in names:
            content = self.place.read(name)
            try:
                digest = self.signatures.read(content)
            except UnsignedError as error:
                yield Fault(first_of(name), None, f"the digest {name} {error}.")
                return
            if (digest.name, digest.first, digest.previous) != (name, number + 1, previous):
                yield Fault(number + 1, None, f"a digest is gone: {name} does not continue the one before it.")
                return
            number, previous = digest.last, fingerprint(content)
            yield digest


@dataclass(frozen=True, slots=True)
class Digested:
    """What became of a tenant's digest: written, or not because of a fault; neither where somebody else was quicker."""

    tenant: str
    digest: Digest | None
    fault: Fault | None = None


def write_digests(database: Database, archive: Archive) -> Iterator[Digested]:
    """Digest what has been sealed since each tenant's last digest; nothing where nothing has.

    Each continues the last digest and not what the database says of the past, so whoever rewrites the past is found
    out by the next one. Two that do this at once write each digest once.

    Raises:
        SigningKeyError: nothing signs.
        ArchiveUnavailableError: digests that were written stay.

    """
    with database.begin() as tx:
        tenants = audit_chain.list_tenants(tx)
    for tenant_id, name in tenants.items():
        while (done := _write_next(database, archive, tenant_id, name)) is not None:
            yield done
            if done.fault:
                break


def _write_next(database: Database, archive: Archive, tenant_id: int, name: str) -> Digested | None:
    """The tenant's next digest; None where there is nothing to digest."""
    try:
        last, content = archive.last(tenant_id)
    except UnsignedError as error:
        return Digested(name, None, Fault(1, None, str(error)))
    signed = last.last if last else 0
    if fault := find_lost(database, archive, tenant_id, signed):
        return Digested(name, None, fault)
    if last:
        with database.begin() as tx:
            audit_chain.note_signed(tx, tenant_id, archive.place.name, signed)
    position = position_after(last)
    first, marks = position.number + 1, list[str]()
    for link in follow(database, tenant_id, position, most=MOST):
        if isinstance(link, Fault):
            return Digested(name, None, link)
        marks.append(link.hash[:MARK_BYTES].hex())
    if not marks:
        return None
    with database.begin() as tx:
        now = audit_chain.read_clock(tx)
    digest = Digest(
        tenant_id=tenant_id,
        tenant=name,
        first=first,
        last=position.number,
        head=position.head.hex(),
        newest=position.newest,
        made_at=now,
        previous=fingerprint(content) if last else None,
        marks="".join(marks),
    )
    written = archive.place.write(digest.name, archive.signatures.sign(digest))
    return Digested(name, digest if written else None)


def find_lost(database: Database, archive: Archive, tenant_id: int, signed: int) -> Fault | None:
    """What is wrong with a place that has a tenant's digests up to number `signed`: it had more of them once.

    So it is where the directory that is meant is not mounted. Another place begins anew.
    """
    with database.begin() as tx:
        number = audit_chain.find_signed(tx, tenant_id, archive.place.name)
    if number <= signed:
        return None
    # Whoever signs notes it after it is there: what was signed since the digests were listed is seen now.
    try:
        last, _ = archive.last(tenant_id)
    except UnsignedError as error:
        return Fault(signed + 1, None, str(error))
    if last and last.last >= number:
        return None
    return Fault(
        signed + 1,
        None,
        f"digests are gone: {archive.place.name} had them up to number {number}. See that it is mounted and whole; "
        "where they are lost, keep what is there, and go on with another M2M_AUDIT_DIGEST_TARGET.",
    )


def read_digests(
    database: Database, archive: Archive, tenant_id: int, names: Sequence[str]
) -> Iterator[Digest | Fault]:
    """As `Archive.read_all`; and at the end a fault where the place had more of them once."""
    signed = 0
    for one in archive.read_all(names):
        yield one
        if isinstance(one, Fault):
            return
        signed = one.last
    if fault := find_lost(database, archive, tenant_id, signed):
        yield fault


def position_after(digest: Digest | None) -> Position:
    """Where the chain goes on after a digest."""
    return Position(digest.last, bytes.fromhex(digest.head), digest.newest) if digest else Position()
