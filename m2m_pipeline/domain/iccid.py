"""The ICCID, the number that names a SIM (ITU-T E.118)."""

import re

from m2m_pipeline.domain.problems import Problem
from m2m_pipeline.domain.reasons import ReasonCode

# Issuers use 19 or 20 digits; files come with 18 (check digit left out) to 22. The 89 prefix and the Luhn check
# are no rule here: carriers' own sandboxes break both.
ICCID_PATTERN = re.compile(r"\d{18,22}", re.ASCII)
SCIENTIFIC_PATTERN = re.compile(r"[+-]?\d+(?:[.,]\d+)?[eE][+-]?\d+", re.ASCII)

_IN_PROSE = re.compile(r"(?<!\w)\d{18,22}(?!\w)", re.ASCII)
_SHORT = 12
"""Characters of a text that is told whole: no ICCID, and cut it would be no shorter to speak of."""

SPREADSHEET_DIGITS = 15
"""Digits of a number that spreadsheets keep."""


def iccid_problem(iccid: str, row: int) -> Problem | None:
    """What is wrong with the trimmed text `iccid` as the ICCID of row `row`, or None."""
    if ICCID_PATTERN.fullmatch(iccid):
        return None
    if SCIENTIFIC_PATTERN.fullmatch(iccid):
        message = (
            f'"{shortened(iccid)}" is an ICCID that a spreadsheet turned into a rounded number; its digits are lost.'
        )
        return Problem(ReasonCode.ICCID_SPREADSHEET_DAMAGE, message, "iccid", shortened(iccid), row)
    said = (
        f'"{shortened(iccid)}" is not an ICCID (18 to 22 digits).' if iccid else "The ICCID is empty (18 to 22 digits)."
    )
    return Problem(ReasonCode.ICCID_MALFORMED, said, "iccid", shortened(iccid), row)


def shortened(iccid: str) -> str:
    """`8988…0001`: how an ICCID, or what was sent for one, is called in a message. Row and pointer say which it is."""
    return iccid if len(iccid) <= _SHORT else f"{iccid[:4]}…{iccid[-4:]}"


def without_iccids(prose: str) -> str:
    """The text with every ICCID in it shortened: for words that are not ours, such as a carrier's or an address."""
    return _IN_PROSE.sub(lambda found: shortened(found[0]), prose)


def looks_rounded(iccid: str) -> bool:
    """Whether a spreadsheet may have rounded it: of a number it keeps 15 digits, and writes zeros for the rest.

    Rightful ICCIDs may look so too: it says something only of one that nobody knows.
    """
    return set(iccid[SPREADSHEET_DIGITS:]) == {"0"}
