"""Signed digests of the audit log: what one says, how it is written down, and the place outside the database for it."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Protocol, Self

from m2m_pipeline.domain.audit_chain import MARK_BYTES

KIND = "m2m audit digest 1"
_FOLDER_DIGITS, _NUMBER_DIGITS = 10, 15  # names sort as numbers do


class ArchiveUnavailableError(Exception):
    """The place of the digests does not answer, or does not let us in. The message says what helps."""


class DigestArchive(Protocol):
    """A place outside the database where digests are kept: a directory, a bucket. Nothing in it is ever overwritten."""

    @property
    def name(self) -> str:
        """Its address, as an operator wrote it."""
        ...

    def list_names(self, folder: str = "") -> Sequence[str]:
        """The names of all digests (in a folder), in order.

        Raises:
            ArchiveUnavailableError: as its message says.

        """
        ...

    def read(self, name: str) -> bytes:
        """The content that was written under a name. Raises as `list_names`."""
        ...

    def write(self, name: str, content: bytes) -> bool:
        """Keep the content; False, and nothing is done, where the name is taken. Raises as `list_names`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """What the chain of a tenant was from link `first` to link `last`."""

    tenant_id: int
    tenant: str
    first: int
    last: int
    head: str  # hash of the link `last`, in hex
    newest: str  # the latest time that an entry up to `last` gives, in the form of the chain
    made_at: str  # in the same form, by the database's clock
    previous: str | None  # SHA-256 of the file of the digest before, in hex
    marks: str  # the first MARK_BYTES of the hash of each link, in hex, so that the first that differs can be named

    @property
    def name(self) -> str:
        """Where it is kept. By its first link: of two that continue the same digest, only one finds its place free."""
        return f"{folder_of(self.tenant_id)}{self.first:0{_NUMBER_DIGITS}}.json"

    @property
    def count(self) -> int:
        """How many entries it covers."""
        return self.last - self.first + 1

    def mark(self, number: int) -> str:
        """The beginning, in hex, that the hash of a link of its range has."""
        place = (number - self.first) * MARK_BYTES * 2
        return self.marks[place : place + MARK_BYTES * 2]

    def statement(self) -> bytes:
        """The line that is signed."""
        return json.dumps({"kind": KIND, "count": self.count, **asdict(self)}).encode()

    @classmethod
    def from_statement(cls, line: bytes) -> Self:
        """Read the line of a statement whose signature holds."""
        fields = json.loads(line)
        return cls(**{name: fields[name] for name in cls.__dataclass_fields__})


def folder_of(tenant_id: int) -> str:
    """Where a tenant's digests are."""
    return f"{tenant_id:0{_FOLDER_DIGITS}}/"


def is_digest(name: str) -> bool:
    """Whether a name is that of a digest: anybody may put other files beside them."""
    return re.fullmatch(rf"[0-9]{{{_FOLDER_DIGITS}}}/[0-9]{{{_NUMBER_DIGITS}}}\.json", name) is not None


def tenant_of(name: str) -> int:
    """Whose digest that is, by its name."""
    return int(name.partition("/")[0])


def first_of(name: str) -> int:
    """From which link on a digest counts, by its name."""
    return int(name.rpartition("/")[2].partition(".")[0])


def fingerprint(content: bytes) -> str:
    """By what the next digest knows the file of the one before."""
    return sha256(content).hexdigest()
