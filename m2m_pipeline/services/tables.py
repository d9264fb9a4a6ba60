"""CSV files as they come from people: read whole or refused, with the line that is at fault."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.domain.problems import Problem, RequestRejectedError, shown
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.rows import row_problems

MAX_FILE_BYTES = 32 * 1024 * 1024
"""100,000 devices with every column are about 12 MB."""

MAX_CELL_LENGTH = 400
_SYNONYMS = {"sim": "iccid", "sim number": "iccid", "sim iccid": "iccid", "icc id": "iccid", "iccid number": "iccid"}
_DELIMITERS = (",", ";", "\t")  # spreadsheets of some languages write the semicolon


def read_table(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> list[Mapping[str, str]]:
    """The rows of a CSV file, one mapping each with all of `required` and `optional` columns ('' for none), trimmed.

    Column names are matched without regard to case; other columns are passed over. Empty lines at the end are none.

    Raises:
        RequestRejectedError: the file is too large, not UTF-8, without a required column, or malformed: with each line
            that has more cells than there are columns.

    """
    return parse_table(path.name, read_bytes(path), required, optional)


def parse_table(
    name: str, content: bytes, required: Sequence[str], optional: Sequence[str] = ()
) -> list[Mapping[str, str]]:
    """`read_table` of a file that is here already, called `name`.

    Raises:
        RequestRejectedError: as `read_table`.

    """
    table = _parse(name, content, required, optional)
    if table.ragged:
        raise RequestRejectedError(table.ragged)
    return table.rows


def parse_devices(name: str, content: bytes) -> tuple[list[str], list[Problem]]:
    """The ICCIDs in a CSV file, and what of it cannot be read; with a fault of the whole file there are none.

    A line with more cells than there are columns is a row at fault, and stands for itself: which of its cells would be
    the ICCID is not known.
    """
    try:
        table = _parse(name, content, ["iccid"], [])
    except RequestRejectedError as rejected:
        return [], [replace(problem, location=("devices",)) for problem in rejected.problems]
    return [table.lines.get(number, row["iccid"]) for number, row in enumerate(table.rows, 1)], table.ragged


@dataclass(frozen=True, slots=True)
class _Table:
    rows: list[Mapping[str, str]]
    ragged: list[Problem]  # each line that has more cells than there are columns
    lines: Mapping[int, str]  # these lines, by the number of their row


def _parse(name: str, content: bytes, required: Sequence[str], optional: Sequence[str]) -> _Table:
    text = _decoded(name, content)
    delimiter = max(_DELIMITERS, key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [_column(cell) for cell in next(reader, [])]
        places = _places(name, header, required, optional)
        rows: list[Mapping[str, str]] = []
        ragged: list[Problem] = []
        lines: dict[int, str] = {}
        for number, cells in enumerate(reader, 1):
            if len(cells) > len(header):
                message = f"{name}, line {reader.line_num}: {len(cells)} cells under {len(header)} column names."
                lines[number] = delimiter.join(cells)[:MAX_CELL_LENGTH]
                ragged.append(Problem(ReasonCode.FILE_MALFORMED, message, "file", shown(lines[number]), number))
            rows.append({column: _cell(cells, place) for column, place in places.items()})
    except csv.Error as error:
        message = f"{name}, line {reader.line_num}: {error}."
        raise _rejected(ReasonCode.FILE_MALFORMED, message) from None
    while rows and len(rows) not in lines and not any(rows[-1].values()):
        rows.pop()
    return _Table(rows, ragged, lines)


def unarmed(cell: str) -> str:
    """A cell that a spreadsheet does not take for a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def read_bytes(path: Path) -> bytes:
    """What is in a file.

    Raises:
        RequestRejectedError: it is too large, or cannot be read.

    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            size, limit = path.stat().st_size // 1024**2, MAX_FILE_BYTES // 1024**2
            message = f"{path.name} has {size} MiB; at most {limit} MiB are read."
            raise _rejected(ReasonCode.FILE_TOO_LARGE, message)
        return path.read_bytes()
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}."
        raise _rejected(ReasonCode.FILE_MALFORMED, message) from None


def _decoded(name: str, content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        seen = "UTF-16" if content[:2] in {b"\xff\xfe", b"\xfe\xff"} else f"byte {error.start + 1} is not UTF-8"
        raise _rejected(ReasonCode.FILE_NOT_UTF8, f"{name} is not UTF-8 ({seen}).") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise _rejected(ReasonCode.FILE_MALFORMED, f"{name}, line {line}: holds a NUL, which is no text.")
    return text


def _column(cell: str) -> str:
    """The column that a header means: people call it by several names."""
    name = cell.strip().casefold()
    return _SYNONYMS.get(" ".join(name.replace("_", " ").replace("-", " ").split()), name)


def is_header(cell: str, column: str) -> bool:
    """Whether a cell is a name of the column: its own, or one that people give it."""
    return _column(cell) == column


def _places(file: str, header: Sequence[str], required: Sequence[str], optional: Sequence[str]) -> dict[str, int]:
    missing = [name for name in required if name not in header]
    twice = [name for name in (*required, *optional) if header.count(name) > 1]
    if missing or twice:
        fault = f"no column {', '.join(missing)}" if missing else f"column {', '.join(twice)} twice"
        message = f'{file}: {fault}; its first line is "{shown(", ".join(header))}".'
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
    return parse_json(path.name, read_bytes(path))


def parse_json(name: str, content: bytes) -> dict[str, object]:
    """`read_request` of a file that is here already, called `name`.

    Raises:
        RequestRejectedError: as `read_request`.

    """
    try:
        parsed: object = json.loads(_decoded(name, content), parse_constant=_no_number)
        json.dumps(parsed, ensure_ascii=False).encode()  # half a character is no text, and no database takes it
    except (ValueError, RecursionError) as error:
        why = "half a character" if isinstance(error, UnicodeEncodeError) else error
        raise _rejected(ReasonCode.FILE_MALFORMED, f"{name} is no JSON: {why}.") from None
    if not isinstance(parsed, dict):
        raise _rejected(ReasonCode.FILE_MALFORMED, f"{name} holds no JSON object.")
    return {str(key): value for key, value in parsed.items()}


def _no_number(text: str) -> object:
    raise ValueError(f"{text} is no number")


def read_devices(path: Path) -> list[DeviceReading]:
    """The inventory in a CSV file: `iccid[,msisdn,imsi,status,rate_plan,communication_plan]`.

    Raises:
        RequestRejectedError: as `read_table`, or with every malformed or repeated ICCID.

    """
    rows = read_table(path, ["iccid"], ["msisdn", "imsi", "status", "rate_plan", "communication_plan"])
    iccids = [row["iccid"] for row in rows]
    problems = row_problems(iccids, frozenset(), {})
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
