"""Files as people send them: read whole, or refused with the line that is at fault."""

from pathlib import Path

import pytest

from m2m_pipeline.domain.problems import RequestRejectedError
from m2m_pipeline.services import tables
from m2m_pipeline.services.tables import parse_devices, read_devices, read_request, read_table

ICCID = "8988216716970000001"
OTHER = "8988216716970000002"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sims.csv"


def read(file: Path, content: str | bytes) -> list[str]:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [row["iccid"] for row in read_table(file, ["iccid"])]


def refusal(file: Path, content: str | bytes) -> tuple[str, str]:
    with pytest.raises(RequestRejectedError) as rejected:
        read(file, content)
    (problem,) = rejected.value.problems
    return problem.code.value, problem.message


@pytest.mark.parametrize(
    "content",
    [
        f"iccid\n{ICCID}\n{OTHER}\n",
        f"iccid\n{ICCID}\n{OTHER}",
        f"iccid\r\n{ICCID}\r\n{OTHER}\r\n",
        f"iccid\r{ICCID}\r{OTHER}\r",
        f"iccid\n{ICCID}\n{OTHER}\n\n\n\n",
        f"iccid,note\n{ICCID},x\n{OTHER},\n,\n,,\n".replace(",,", ","),
        f"\ufefficcid\n{ICCID}\n{OTHER}\n",
        f" ICCID \n {ICCID} \n\t{OTHER}\n",
        f'"iccid"\n"{ICCID}"\n"{OTHER}"\n',
        f"note;iccid\nx;{ICCID}\ny;{OTHER}\n",
        f"note\ticcid\nx\t{ICCID}\ny\t{OTHER}\n",
        f'note,iccid\n"a, b\nc",{ICCID}\n"say ""hi""",{OTHER}\n',
    ],
    ids=[
        "plain",
        "no newline at the end",
        "CRLF",
        "CR",
        "empty lines at the end",
        "empty cells at the end",
        "BOM",
        "spaces and capitals",
        "quoted",
        "semicolons",
        "tabs",
        "quotes with commas and lines",
    ],
)
def test_what_a_person_means_is_read(file: Path, content: str) -> None:
    assert read(file, content) == [ICCID, OTHER]


@pytest.mark.parametrize("content", ["iccid\n", "iccid", "iccid\n\n\n"])
def test_a_header_alone_has_no_rows(file: Path, content: str) -> None:
    assert read(file, content) == []


def test_an_empty_line_in_the_middle_is_a_row_without_an_iccid(file: Path) -> None:
    assert read(file, f"iccid\n{ICCID}\n\n{OTHER}\n") == [ICCID, "", OTHER]


@pytest.mark.parametrize(
    ("content", "code", "word"),
    [
        (b"", "FILE_HEADER_WRONG", "iccid"),
        (f"msisdn\n{ICCID}\n".encode(), "FILE_HEADER_WRONG", '"msisdn"'),
        (f"{ICCID}\n".encode(), "FILE_HEADER_WRONG", "iccid"),
        (f"iccid,ICCID\n{ICCID},{OTHER}\n".encode(), "FILE_HEADER_WRONG", "twice"),
        (f"iccid\n{ICCID},{OTHER}\n".encode(), "FILE_MALFORMED", "line 2"),
        (f'iccid\n"{ICCID}\n'.encode(), "FILE_MALFORMED", "line"),
        (f'iccid\n"{ICCID}"x\n'.encode(), "FILE_MALFORMED", "line 2"),
        (f"iccid\n{ICCID}\n".encode("utf-16"), "FILE_NOT_UTF8", "UTF-16"),
        ("iccid,note\n1,Zürich\n".encode("latin-1"), "FILE_NOT_UTF8", "byte 15"),
        (b"iccid\n" + b"9" * 200_000 + b"\n", "FILE_MALFORMED", "line"),
        (f"iccid\n{ICCID}\0\n".encode(), "FILE_MALFORMED", "NUL"),
    ],
    ids=[
        "empty",
        "another header",
        "no header",
        "a column twice",
        "too many cells",
        "an open quote",
        "text after a quote",
        "UTF-16",
        "latin-1",
        "an endless cell",
        "a NUL",
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(file: Path, content: bytes, code: str, word: str) -> None:
    refused, message = refusal(file, content)
    assert refused == code
    assert word in message
    assert "sims.csv" in message


def test_a_file_too_large_is_refused_unread(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_FILE_BYTES", 2**20)
    code, message = refusal(file, b"iccid\n" + b"1\n" * 2**20)
    assert (code, "at most 1 MiB" in message) == ("FILE_TOO_LARGE", True)


def test_a_file_that_is_not_there_is_refused(file: Path) -> None:
    with pytest.raises(RequestRejectedError, match="cannot be read"):
        read_table(file, ["iccid"])


def test_a_missing_optional_column_is_empty(file: Path) -> None:
    file.write_text("name\nPlan A\n")
    assert read_table(file, ["name"], ["communication_plan"]) == [{"name": "Plan A", "communication_plan": ""}]


def test_the_inventory_is_read_with_its_optional_columns(file: Path) -> None:
    file.write_text(f"iccid,rate_plan,msisdn\n{ICCID},Plan A,4412345\n{OTHER},,\n")
    first, second = read_devices(file)
    assert (first.iccid, first.rate_plan, first.msisdn, first.imsi) == (ICCID, "Plan A", "4412345", None)
    assert (second.rate_plan, second.msisdn) == (None, None)


def test_an_inventory_with_faulty_iccids_is_refused_with_all_of_them(file: Path) -> None:
    file.write_text(f"iccid\n{ICCID}\n12\n{ICCID}\n")
    with pytest.raises(RequestRejectedError) as rejected:
        read_devices(file)
    assert [(problem.code.value, problem.row) for problem in rejected.value.problems] == [
        ("ICCID_MALFORMED", 2),
        ("DUPLICATE", 3),
    ]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "7", '"x"', "null", "[" * 100_000, "9" * 5000], ids=lambda text: text[:5] or "nothing"
)
def test_a_request_file_that_holds_no_json_object_is_refused(file: Path, content: str) -> None:
    file.write_text(content)
    with pytest.raises(RequestRejectedError) as rejected:
        read_request(file)
    assert [problem.code.value for problem in rejected.value.problems] == ["FILE_MALFORMED"]


def test_a_request_file_is_read_as_it_is(file: Path) -> None:
    file.write_text('\ufeff{"devices": [8988216716970000001], "rate_plan": "Plän"}')
    assert read_request(file) == {"devices": [8988216716970000001], "rate_plan": "Plän"}


def test_every_line_with_too_many_cells_is_told_at_once(file: Path) -> None:
    file.write_text(f"iccid,note\n{ICCID},one, two\n{OTHER},fine\n{OTHER},a,b,c\n")
    with pytest.raises(RequestRejectedError) as rejected:
        read_table(file, ["iccid"])

    told = [(problem.row, problem.message) for problem in rejected.value.problems]
    assert told == [
        (1, "sims.csv, line 2: 3 cells under 2 column names."),
        (3, "sims.csv, line 4: 4 cells under 2 column names."),
    ]


def test_of_a_list_of_devices_such_a_line_is_a_row_at_fault_and_the_others_are_read() -> None:
    devices, faults = parse_devices("sims.csv", f"iccid,note\n{ICCID},one, two\n{OTHER},fine\n,,\n".encode())
    assert devices == [f"{ICCID},one, two", OTHER, ",,"]
    assert [(fault.code.value, fault.row) for fault in faults] == [("FILE_MALFORMED", 1), ("FILE_MALFORMED", 3)]
