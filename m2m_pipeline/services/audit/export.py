"""Gives a tenant's entries of a period away, with all that is needed to check them without us."""

import csv
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TextIO

from m2m_pipeline.domain.audit_chain import FIELDS, Fault, Link, Position, Value
from m2m_pipeline.domain.digests import Digest
from m2m_pipeline.services.audit import check_export
from m2m_pipeline.services.audit.digests import Archive, read_digests
from m2m_pipeline.services.audit.following import follow
from m2m_pipeline.storage import audit_chain
from m2m_pipeline.storage.database import Database

_COLUMNS = ("number", "sealed_at", "hash", *FIELDS)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")


class ExportFormat(StrEnum):
    """Of the entries."""

    CSV = "csv"
    JSONL = "jsonl"


class NothingToExportError(ValueError):
    """The tenant has no sealed entry in the period."""


class UnprovenExportError(Exception):
    """What should be exported is not what was sealed, or its digests do not prove it."""

    def __init__(self, tenant: str, fault: Fault) -> None:
        super().__init__(
            f"The audit log of {tenant} was not exported: it is not proven to be what was sealed. {fault} Trying again "
            "does not help: see `m2m audit verify` and docs/audit.md."
        )


@dataclass(frozen=True, slots=True)
class Exported:
    """What lies in the folder: entries by their numbers, in how many digests, and up to which number those go."""

    folder: str
    tenant: str
    first: int
    last: int
    digests: int
    signed: int


@dataclass(frozen=True, slots=True)
class Period:
    """From when on, and until before when."""

    begin: datetime
    end: datetime


def export(
    database: Database,
    archive: Archive | None,
    tenant: tuple[int, str],
    period: Period,
    *,
    format_: ExportFormat,
    folder: Path,
) -> Exported:
    """Write a folder: the entries of the period, the digests over them, the keys, and a program that checks it all.

    The entries begin and end where digests do, so there may be some from before and after the period.

    Raises:
        NothingToExportError: no entry of that time is sealed.
        UnprovenExportError: the entries, or the digests over them, are not what was sealed; nothing of use was written.
        FileExistsError: the folder exists.

    """
    tenant_id, name = tenant
    with database.begin() as tx:
        asked = audit_chain.find_range(tx, tenant_id, period.begin, period.end)
    if asked is None:
        raise NothingToExportError(
            f"{name} has no sealed audit entry from {period.begin:%Y-%m-%d} on and before {period.end:%Y-%m-%d}. "
            "Nothing was written. Choose another period."
        )
    files, covering = _covering(database, archive, tenant, asked) if archive else ([], [])
    first = covering[0].first if covering and covering[0].first < asked[0] else asked[0]
    last = max(asked[1], covering[-1].last) if covering else asked[1]
    position = _before(database, tenant_id, first)
    folder.mkdir(parents=True)
    _write_manifest(folder, archive, tenant, position)
    for path, content in files:
        (folder / path).write_bytes(content)
    with (folder / f"entries.{format_}").open("w", encoding="utf-8", newline="") as file:
        links = _proven(name, follow(database, tenant_id, position, most=last - first + 1))
        _write_csv(file, links) if format_ is ExportFormat.CSV else _write_lines(file, links)
    shutil.copyfile(check_export.__file__, folder / "check_export.py")
    signed = covering[-1].last if covering else 0
    return Exported(str(folder), name, first, position.number, len(covering), signed)


def _covering(
    database: Database, archive: Archive, tenant: tuple[int, str], asked: tuple[int, int]
) -> tuple[list[tuple[str, bytes]], list[Digest]]:
    """The digests that cover some of the numbers, and their files by the name each gets.

    Raises:
        UnprovenExportError: one of them is gone, or not what was signed.

    """
    tenant_id, name = tenant
    files: list[tuple[str, bytes]] = []
    covering: list[Digest] = []
    for one in read_digests(database, archive, tenant_id, archive.names(tenant_id)):
        begins = one.number if isinstance(one, Fault) else one.first
        if begins > asked[1]:
            break
        if isinstance(one, Fault):
            raise UnprovenExportError(name, one)
        if one.last >= asked[0]:
            covering.append(one)
            files.append((f"digest-{one.name.rpartition('/')[2]}", archive.place.read(one.name)))
    return files, covering


def _before(database: Database, tenant_id: int, first: int) -> Position:
    """Where the chain stands before its link `first`."""
    if first == 1:
        return Position()
    with database.begin() as tx:
        (link,) = audit_chain.list_links(tx, tenant_id, first - 2, first - 1)
    return Position(link.number, link.hash)


def _proven(tenant: str, links: Iterable[Link | Fault]) -> Iterable[Link]:
    for link in links:
        if isinstance(link, Fault):
            raise UnprovenExportError(tenant, link)
        yield link


def _write_manifest(folder: Path, archive: Archive | None, tenant: tuple[int, str], position: Position) -> None:
    manifest = {
        "tenant_id": tenant[0],
        "tenant": tenant[1],
        "links_before": position.number,
        "head_before": position.head.hex(),
        "public_keys": archive.signatures.public_keys if archive else {},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _values(link: Link) -> Sequence[Value]:
    return (link.number, link.sealed_at, link.hash.hex(), *(link.entry or ()))


def _write_lines(file: TextIO, links: Iterable[Link]) -> None:
    file.writelines(
        json.dumps(dict(zip(_COLUMNS, _values(link), strict=True)), ensure_ascii=False) + "\n" for link in links
    )


def _write_csv(file: TextIO, links: Iterable[Link]) -> None:
    writer = csv.writer(file)
    writer.writerow(_COLUMNS)
    writer.writerows([_cell(value) for value in _values(link)] for link in links)


def _cell(value: Value) -> object:
    """A text that a spreadsheet would take for a formula, or that could be taken for nothing, gets an apostrophe."""
    if isinstance(value, str) and (not value or value.startswith(_FORMULA)):
        return f"'{value}"
    return value
