"""The audit log as operators and auditors use it: seal, sign, verify, give away."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from m2m_pipeline.domain.digests import DigestArchive, tenant_of
from m2m_pipeline.domain.problems import shown
from m2m_pipeline.services.audit import sealing, verifying
from m2m_pipeline.services.audit.digests import Archive, Digested, write_digests
from m2m_pipeline.services.audit.export import Exported, ExportFormat, Period, export
from m2m_pipeline.services.audit.signing import Signatures
from m2m_pipeline.services.audit.verifying import Verified
from m2m_pipeline.storage import audit_chain
from m2m_pipeline.storage.database import Database


class TenantUnknownError(Exception):
    """There is no such tenant, neither in the database nor in a digest."""

    def __init__(self, tenant: str) -> None:
        super().__init__(f'There is no tenant "{shown(tenant)}". Nothing was done. Check the name.')


class NoDigestTargetError(Exception):
    """Digests were asked for, and no place for them is configured."""

    def __init__(self) -> None:
        super().__init__(
            "No digest was written: there is no place for it. Trying again does not help: set M2M_AUDIT_DIGEST_TARGET "
            "to a directory or to s3://BUCKET/PREFIX, outside the reach of those who can change the database."
        )


class Auditing:
    """The use cases."""

    def __init__(self, database: Database, place: DigestArchive | None, signatures: Signatures) -> None:
        self._database = database
        self._archive = Archive(place, signatures) if place else None

    def seal(self, *, all_of_it: bool = False) -> int:
        """Seal what was written; how many entries. Raises DatabaseUnavailableError."""
        return sealing.seal(self._database, all_of_it=all_of_it)

    def digest(self) -> Iterator[Digested]:
        """Seal, and write signed digests of what has come since the last ones.

        Raises:
            NoDigestTargetError: no place for them is configured.
            SigningKeyError: no key is configured.
            ArchiveUnavailableError: what was written stays.

        """
        if self._archive is None:
            raise NoDigestTargetError
        self.seal()
        yield from write_digests(self._database, self._archive)

    def verify(self, tenant: str | None = None) -> Iterator[Verified]:
        """Seal what was written, then verify the whole log of a tenant, or of each that is or ever was digested.

        Raises:
            TenantUnknownError: neither the database nor a digest knows it.
            ArchiveUnavailableError: the digests cannot be read.

        """
        self.seal(all_of_it=True)
        names = self._digest_names()
        tenants = self._tenants(names)
        chosen = {one: name for one, name in tenants.items() if tenant in {None, name}}
        if tenant is not None and not chosen:
            raise TenantUnknownError(tenant)
        for tenant_id, name in chosen.items():
            yield verifying.verify(self._database, self._archive, tenant_id, name, names[tenant_id])

    def verify_recent(self) -> Iterator[Verified]:
        """Verify, of each tenant, what has come since its last digest: for whoever looks often. Raises as `verify`."""
        self.seal()
        for tenant_id, name in self._tenants(()).items():
            yield verifying.verify_recent(self._database, self._archive, tenant_id, name)

    def export(self, tenant: str, period: Period, format_: ExportFormat, folder: Path) -> Exported:
        """Seal what was written, and write a tenant's entries of a period into a new folder, for whoever checks them.

        Raises:
            TenantUnknownError: there is none of that name.
            NothingToExportError: no entry of that time.
            UnprovenExportError: the entries, or the digests over them, are not what was sealed.

        """
        self.seal()
        found = [one for one in self._tenants(()).items() if one[1] == tenant]
        if not found:
            raise TenantUnknownError(tenant)
        return export(self._database, self._archive, found[0], period, format_=format_, folder=folder)

    def _digest_names(self) -> dict[int, list[str]]:
        """The names of all digests, in order, by tenant."""
        names: defaultdict[int, list[str]] = defaultdict(list)
        for name in self._archive.names() if self._archive else ():
            names[tenant_of(name)].append(name)
        return names

    def _tenants(self, digests: Iterable[int]) -> dict[int, str]:
        """Ids and names of all tenants; who was removed from the database is known by its digests."""
        with self._database.begin() as tx:
            tenants = audit_chain.list_tenants(tx)
        return {**{one: f"removed tenant {one}" for one in digests}, **tenants}
