"""The rows of a request, held against the inventory."""

from collections.abc import Container, Mapping, Sequence

from m2m_pipeline.domain.change import RequestedRow
from m2m_pipeline.domain.iccid import iccid_problem, looks_rounded, shortened
from m2m_pipeline.domain.problems import Problem
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.status import DeviceStatus

MAX_RECORDED_VALUE = 64
"""Characters of a malformed ICCID that are recorded with its row."""


def row_problems(iccids: Sequence[str], known: Mapping[str, int], open_changes: Mapping[str, int]) -> list[Problem]:
    """Every faulty row, in order; rows are counted from 1.

    `known` gives the inventory's device id, `open_changes` the bulk change that holds a device, both by ICCID.
    """
    first_row: dict[str, int] = {}
    problems: list[Problem] = []
    for row, iccid in enumerate(iccids, start=1):
        first = first_row.setdefault(iccid, row)
        problem = (
            iccid_problem(iccid, row)
            or _duplicate(iccid, row, first)
            or _unknown(iccid, row, known)
            or _held(iccid, row, open_changes)
        )
        if problem:
            problems.append(problem)
    return problems


def requested_rows(
    iccids: Sequence[str], known: Mapping[str, int], waiting: Container[str], problems: Sequence[Problem]
) -> list[RequestedRow]:
    """The rows as they are recorded: a faulty one has ended, with its reason; one of `waiting` is not open yet."""
    faults = {problem.row: problem for problem in problems}
    return [_recorded(row, iccid, known, waiting, faults.get(row)) for row, iccid in enumerate(iccids, start=1)]


def _recorded(
    row: int, iccid: str, known: Mapping[str, int], waiting: Container[str], fault: Problem | None
) -> RequestedRow:
    if fault is None:
        status = DeviceStatus.WAITING if iccid in waiting else DeviceStatus.PENDING
        return RequestedRow(row, iccid, known[iccid], status)
    status = DeviceStatus.SKIPPED if fault.code is ReasonCode.DUPLICATE else DeviceStatus.REFUSED
    return RequestedRow(row, iccid[:MAX_RECORDED_VALUE], known.get(iccid), status, fault.code, fault.message)


def _duplicate(iccid: str, row: int, first: int) -> Problem | None:
    if first == row:
        return None
    return Problem(
        ReasonCode.DUPLICATE, f"{shortened(iccid)} stands in row {first} already.", "iccid", shortened(iccid), row
    )


def _unknown(iccid: str, row: int, known: Mapping[str, int]) -> Problem | None:
    if iccid in known:
        return None
    if looks_rounded(iccid):
        looks = "looks like an ICCID that a spreadsheet rounded to 15 digits"
        message = f"{shortened(iccid)} is not in the inventory, and {looks}."
        return Problem(ReasonCode.ICCID_SPREADSHEET_DAMAGE, message, "iccid", shortened(iccid), row)
    message = f"{shortened(iccid)} is not in this provider's inventory."
    return Problem(ReasonCode.NOT_IN_INVENTORY, message, "iccid", shortened(iccid), row)


def _held(iccid: str, row: int, open_changes: Mapping[str, int]) -> Problem | None:
    holder = open_changes.get(iccid)
    if holder is None:
        return None
    message = f"{shortened(iccid)} is held by bulk change {holder}, which has not ended for it."
    return Problem(ReasonCode.OPEN_CHANGE, message, "iccid", shortened(iccid), row)
