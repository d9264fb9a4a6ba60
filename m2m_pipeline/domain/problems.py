"""Everything wrong with a request, said at once."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from m2m_pipeline.domain.reasons import REASONS, ReasonCode

SHOWN_VALUE_LENGTH = 60
"""Characters of an offending value that are repeated to the client; the rest is cut, never echoed."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault: of the request (`row` is None) or of one row (counted from 1, a file's header not counted)."""

    code: ReasonCode
    message: str
    field: str | None = None
    value: str | None = None
    row: int | None = None
    location: tuple[str | int, ...] = ()  # of a fault deeper than a field, or in one whose name is the client's own

    @property
    def next_step(self) -> str:
        """What a person does about it."""
        return REASONS[self.code].next_step

    def as_dict(self) -> dict[str, object]:
        """The JSON form, the same on every surface."""
        told = asdict(self)
        del told["location"]
        return {**told, "reason": REASONS[self.code].title, "next_step": self.next_step}

    def __str__(self) -> str:
        place = f"row {self.row}: " if self.row is not None else ""
        return f"{place}{self.message} {self.next_step}"


def shown(value: object) -> str:
    """`value` as text, cut to `SHOWN_VALUE_LENGTH` characters."""
    text = str(value)
    return text if len(text) <= SHOWN_VALUE_LENGTH else f"{text[:SHOWN_VALUE_LENGTH]}…"


class RequestRejectedError(Exception):
    """The request does not hold. Carries every reason; nothing was recorded."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems[:5]))
