"""CSV files as they come from people: read whole or refused, with the line that is at fault."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.domain.problems import Problem, RequestRejectedError, shown
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.rows import row_problems

MAX_FILE_BYTES = 32 * 1024 * 1024
"""100,000 devices with every column are about 12 MB."""

MAX_CELL_LENGTH = 400
_DELIMITERS = (",", ";", "\t")  # spreadsheets of some languages write the semicolon


def read_table(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> list[Mapping[str, str]]:
    """The rows of a CSV file, one mapping each with all of `required` and `optional` columns ('' for none), trimmed.

    Column names are matched without regard to case; other columns are passed over. Empty lines at the end are none.

    Raises:
        RequestRejectedError: the file is too large, not UTF-8, without a required column, or malformed.

    """
    text = _read_text(path)
    delimiter = max(_DELIMITERS, key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip().casefold() for name in next(reader, [])]
        places = _places(path, header, required, optional)
        rows: list[Mapping[str, str]] = []
        for cells in reader:
            if len(cells) > len(header):
                message = f"{path.name}, line {reader.line_num}: {len(cells)} cells under {len(header)} column names."
                raise _rejected(ReasonCode.FILE_MALFORMED, message)
            rows.append({name: _cell(cells, place) for name, place in places.items()})
    except csv.Error as error:
        message = f"{path.name}, line {reader.line_num}: {error}."
        raise _rejected(ReasonCode.FILE_MALFORMED, message) from None
    while rows and not any(rows[-1].values()):
        rows.pop()
    return rows


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            size, limit = path.stat().st_size // 1024**2, MAX_FILE_BYTES // 1024**2
            message = f"{path.name} has {size} MiB; at most {limit} MiB are read."
            raise _rejected(ReasonCode.FILE_TOO_LARGE, message)
        content = path.read_bytes()
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}."
        raise _rejected(ReasonCode.FILE_MALFORMED, message) from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        seen = "UTF-16" if content[:2] in {b"\xff\xfe", b"\xfe\xff"} else f"byte {error.start + 1} is not UTF-8"
        raise _rejected(ReasonCode.FILE_NOT_UTF8, f"{path.name} is not UTF-8 ({seen}).") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise _rejected(ReasonCode.FILE_MALFORMED, f"{path.name}, line {line}: holds a NUL, which is no text.")
    return text


def _places(path: Path, header: Sequence[str], required: Sequence[str], optional: Sequence[str]) -> dict[str, int]:
    missing = [name for name in required if name not in header]
    twice = [name for name in (*required, *optional) if header.count(name) > 1]
    if missing or twice:
        fault = f"no column {', '.join(missing)}" if missing else f"column {', '.join(twice)} twice"
        message = f'{path.name}: {fault}; its first line is "{shown(", ".join(header))}".'
        raise _rejected(ReasonCode.FILE_HEADER_WRONG, message, required)
    return {name: header.index(name) if name in header else len(header) for name in (*required, *optional)}


def _cell(cells: Sequence[str], place: int) -> str:
    return cells[place].strip()[:MAX_CELL_LENGTH] if place < len(cells) else ""


def _rejected(code: ReasonCode, message: str, columns: Sequence[str] = ()) -> RequestRejectedError:
    return RequestRejectedError([Problem(code, message, ", ".join(columns) or "file")])


def read_request(path: Path) -> dict[str, object]:
    """The request in a JSON file, its names as they are.

    Raises:
        RequestRejectedError: the file is too large, not UTF-8, or no JSON object.

    """
    try:
        content: object = json.loads(_read_text(path))
    except (ValueError, RecursionError) as error:
        raise _rejected(ReasonCode.FILE_MALFORMED, f"{path.name} is no JSON: {error}.") from None
    if not isinstance(content, dict):
        raise _rejected(ReasonCode.FILE_MALFORMED, f"{path.name} holds no JSON object.")
    return {str(name): value for name, value in content.items()}


def read_devices(path: Path) -> list[DeviceReading]:
    """The inventory in a CSV file: `iccid[,msisdn,imsi,status,rate_plan,communication_plan]`.

    Raises:
        RequestRejectedError: as `read_table`, or with every malformed or repeated ICCID.

    """
    rows = read_table(path, ["iccid"], ["msisdn", "imsi", "status", "rate_plan", "communication_plan"])
    iccids = [row["iccid"] for row in rows]
    problems = row_problems(iccids, dict.fromkeys(iccids, 0), {})
    if problems:
        raise RequestRejectedError(problems)
    return [
        DeviceReading(
            iccid=row["iccid"],
            rate_plan=row["rate_plan"] or None,
            communication_plan=row["communication_plan"] or None,
            sim_status=row["status"] or None,
            msisdn=row["msisdn"] or None,
            imsi=row["imsi"] or None,
        )
        for row in rows
    ]
