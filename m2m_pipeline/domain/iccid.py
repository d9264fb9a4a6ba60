"""The ICCID, the number that names a SIM (ITU-T E.118)."""

import re

from m2m_pipeline.domain.problems import Problem, shown
from m2m_pipeline.domain.reasons import ReasonCode

# Issuers use 19 or 20 digits; files come with 18 (check digit left out) to 22. The 89 prefix and the Luhn check
# are no rule here: carriers' own sandboxes break both.
ICCID_PATTERN = re.compile(r"\d{18,22}", re.ASCII)
SCIENTIFIC_PATTERN = re.compile(r"[+-]?\d+(?:[.,]\d+)?[eE][+-]?\d+", re.ASCII)

SPREADSHEET_DIGITS = 15
"""Digits of a number that spreadsheets keep."""


def iccid_problem(iccid: str, row: int) -> Problem | None:
    """What is wrong with the trimmed text `iccid` as the ICCID of row `row`, or None."""
    if ICCID_PATTERN.fullmatch(iccid):
        return None
    if SCIENTIFIC_PATTERN.fullmatch(iccid):
        message = f'"{shown(iccid)}" is an ICCID that a spreadsheet turned into a rounded number; its digits are lost.'
        return Problem(ReasonCode.ICCID_SPREADSHEET_DAMAGE, message, "iccid", shown(iccid), row)
    said = f'"{shown(iccid)}" is not an ICCID (18 to 22 digits).' if iccid else "The ICCID is empty (18 to 22 digits)."
    return Problem(ReasonCode.ICCID_MALFORMED, said, "iccid", shown(iccid), row)


def looks_rounded(iccid: str) -> bool:
    """Whether a spreadsheet may have rounded it: of a number it keeps 15 digits, and writes zeros for the rest.

    Rightful ICCIDs may look so too: it says something only of one that nobody knows.
    """
    return set(iccid[SPREADSHEET_DIGITS:]) == {"0"}
