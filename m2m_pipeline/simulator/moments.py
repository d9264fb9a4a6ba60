"""The carrier's ways of writing a moment. All are milliseconds since the epoch inside the simulator."""

import re
from datetime import UTC, datetime

from m2m_pipeline.simulator.replies import INVALID_DATE, RefusedError

_DATE_AND_ZONE = re.compile(r"(\d{4}-\d\d-\d\d)(Z|[+-]\d\d:?\d\d)")
"""`yyyy-MM-ddZ`: 2026-12-01Z, or 2026-12-01+00:00 as in the carrier's own examples."""
_DATE_TIME_AND_ZONE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(Z|[+-]\d\d:?\d\d)")
_HORIZON_DAYS = 180
DAY_MS = 24 * 3600 * 1000


def show(moment_ms: int) -> str:
    """2016-06-29 00:21:33.339+0000: a space, milliseconds, no colon in the offset."""
    moment = datetime.fromtimestamp(moment_ms // 1000, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment_ms % 1000:03d}+0000"


def read_moment(text: str) -> int:
    """`yyyy-MM-ddTHH:mm:ssZ`. A + that was not encoded arrives as a space, which is a wrong format (10000012)."""
    return _read(_DATE_TIME_AND_ZONE, text)


def read_effective_date(text: str, now_ms: int) -> int:
    """The first instant of the date in its zone: today or at most 180 days ahead, else 10000012."""
    moment_ms = _read(_DATE_AND_ZONE, text)
    if not now_ms - DAY_MS < moment_ms <= now_ms + _HORIZON_DAYS * DAY_MS:
        raise RefusedError(INVALID_DATE)
    return moment_ms


def _read(form: re.Pattern[str], text: str) -> int:
    match = form.fullmatch(text)
    if match is None:
        raise RefusedError(INVALID_DATE)
    date, zone = match.groups()
    try:
        moment = datetime.fromisoformat((date if "T" in date else f"{date}T00:00:00") + zone)
    except ValueError:  # the thirtieth of February
        raise RefusedError(INVALID_DATE) from None
    return int(moment.timestamp()) * 1000
