"""The rows of a request, held against the inventory."""

from collections.abc import Container, Mapping, Sequence

from m2m_pipeline.domain.change import MarkedRow
from m2m_pipeline.domain.iccid import iccid_problem, looks_rounded, shortened
from m2m_pipeline.domain.problems import Problem
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.status import DeviceStatus

MAX_RECORDED_VALUE = 64
"""Characters of a malformed ICCID that are recorded with its row."""


def row_problems(iccids: Sequence[str], unknown: Container[str], held: Mapping[str, int]) -> list[Problem]:
    """Every faulty row, in order; rows are counted from 1.

    `unknown` are the ICCIDs that the inventory has not, `held` gives the bulk change that holds a device, by ICCID.
    """
    first_row: dict[str, int] = {}
    problems: list[Problem] = []
    for row, iccid in enumerate(iccids, start=1):
        first = first_row.setdefault(iccid, row)
        problem = (
            iccid_problem(iccid, row)
            or _duplicate(iccid, row, first)
            or _unknown(iccid, row, unknown)
            or _held(iccid, row, held)
        )
        if problem:
            problems.append(problem)
    return problems


def marked_rows(iccids: Sequence[str], waiting: Container[str], problems: Sequence[Problem]) -> list[MarkedRow]:
    """The rows that are not simply to be sent: a faulty one has ended, with its reason; one of `waiting` waits."""
    faults = {problem.row: problem for problem in problems}
    return [
        _marked(row, faults.get(row)) for row, iccid in enumerate(iccids, start=1) if row in faults or iccid in waiting
    ]


def _marked(row: int, fault: Problem | None) -> MarkedRow:
    if fault is None:
        return MarkedRow(row, DeviceStatus.WAITING)
    status = DeviceStatus.SKIPPED if fault.code is ReasonCode.DUPLICATE else DeviceStatus.REFUSED
    return MarkedRow(row, status, fault.code, fault.message)


def _duplicate(iccid: str, row: int, first: int) -> Problem | None:
    if first == row:
        return None
    return Problem(
        ReasonCode.DUPLICATE, f"{shortened(iccid)} stands in row {first} already.", "iccid", shortened(iccid), row
    )


def _unknown(iccid: str, row: int, unknown: Container[str]) -> Problem | None:
    if iccid not in unknown:
        return None
    if looks_rounded(iccid):
        looks = "looks like an ICCID that a spreadsheet rounded to 15 digits"
        message = f"{shortened(iccid)} is not in the inventory, and {looks}."
        return Problem(ReasonCode.ICCID_SPREADSHEET_DAMAGE, message, "iccid", shortened(iccid), row)
    message = f"{shortened(iccid)} is not in this provider's inventory."
    return Problem(ReasonCode.NOT_IN_INVENTORY, message, "iccid", shortened(iccid), row)


def _held(iccid: str, row: int, held: Mapping[str, int]) -> Problem | None:
    holder = held.get(iccid)
    if holder is None:
        return None
    message = f"{shortened(iccid)} is held by bulk change {holder}, which has not ended for it."
    return Problem(ReasonCode.OPEN_CHANGE, message, "iccid", shortened(iccid), row)
