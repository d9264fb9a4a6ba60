"""What breaks a promise: rows, each with what is wrong, and with what stands in the commands about it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from m2m_pipeline.domain.commands import Words
from m2m_pipeline.domain.drift import DRIFT
from m2m_pipeline.domain.reasons import ROW_FAULTS
from m2m_pipeline.domain.status import ENDED_BULK_CHANGES, FINISHABLE_DEVICES

MOST = 100


@dataclass(frozen=True, slots=True)
class Scope:
    """Which rows are looked at: of one bulk change, or of all that ended in the last `days`; and the limits."""

    bulk_change_id: int | None
    days: int
    unknown_limit_hours: float
    drift_limit_share: float
    queue_limit_minutes: float
    reconcile_limit_hours: float


@dataclass(frozen=True, slots=True)
class Breach:
    """A row that breaks a promise, what is wrong with it, and what stands in the commands about it."""

    row: str
    wrong: str
    words: Words


Broken = Sequence[Breach]
Question = Callable[[Connection, Scope], Broken]


def parameters(scope: Scope) -> Mapping[str, object]:
    """What the questions name."""
    return {
        "id": scope.bulk_change_id,
        "days": scope.days,
        "unknown_hours": scope.unknown_limit_hours,
        "drift_share": scope.drift_limit_share,
        "queue_minutes": scope.queue_limit_minutes,
        "reconcile_hours": scope.reconcile_limit_hours,
        "ended": sorted(ENDED_BULK_CHANGES),
        "finishable": sorted(FINISHABLE_DEVICES),
        "faults": sorted(ROW_FAULTS),
        "drift": sorted(DRIFT),
    }


def words(columns: Iterable[str], row: Iterable[object]) -> Words:
    """Those columns of a row that are placeholders of commands."""
    named = {name: value for name, value in zip(columns, row, strict=True) if name.isupper()}
    return {name: None if value is None else str(value) for name, value in named.items()}


def ask(connection: Connection, scope: Scope, question: str) -> Broken:
    """The rows that a question finds: its first two columns are `Breach`'s, the others placeholders."""
    rows = connection.execute(text(question), parameters(scope))
    columns = tuple(rows.keys())
    return [Breach(str(row[0]), str(row[1]), words(columns, row)) for row in rows]
