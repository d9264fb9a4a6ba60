"""What is given to an auditor can be checked with Python alone, and whatever is changed in it is named."""

import csv
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from m2m_pipeline.services.audit import check_export
from m2m_pipeline.services.audit.export import ExportFormat, NothingToExportError, Period, UnprovenExportError
from m2m_pipeline.services.audit.signing import generate
from m2m_pipeline_tests.audit.log import PUBLIC, Log

NOW = datetime.now(UTC)
ALWAYS = Period(NOW - timedelta(days=60), NOW + timedelta(days=1))


def grown(log: Log) -> Log:
    """Three digests, over five entries of ours each, and two that are not signed."""
    for _ in range(3):
        log.write(10)
        list(log.auditing.digest())
    log.write(4)
    return log


def period(log: Log, first: int, last: int) -> Period:
    """The time of our entries with these numbers."""
    with log.owner() as owner:
        begin, end = owner.execute(
            "SELECT min(e.at), max(e.at) FROM m2m.audit_entry e JOIN m2m.audit_link l ON l.entry_id = e.id "
            "WHERE l.tenant_id = 1 AND number BETWEEN %s AND %s",
            (first, last),
        ).fetchone() or (NOW, NOW)
    return Period(begin, end + timedelta(seconds=1))


def checked(folder: Path, *arguments: str) -> tuple[int, str]:
    """What the program in the folder says, without any of our packages."""
    command = [sys.executable, "-I", "-S", str(folder / "check_export.py"), str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("format_", ExportFormat)
def test_an_export_is_checked_without_us(log: Log, tmp_path: Path, format_: ExportFormat) -> None:
    done = grown(log).auditing.export("acme", ALWAYS, format_, tmp_path / "out")

    assert (done.first, done.last, done.digests, done.signed) == (1, 17, 3, 15)
    status, told = checked(tmp_path / "out", "--key", PUBLIC)
    assert (status, told) == (0, "acme: the chain holds from 1 to 17; numbers 1 to 15 are signed.\n")
    assert checked(tmp_path / "out")[0] == 0
    _, other = generate()
    assert "not signed by the key" in checked(tmp_path / "out", "--key", other)[1]


def test_a_period_is_widened_to_whole_digests(log: Log, tmp_path: Path) -> None:
    done = grown(log).auditing.export("acme", period(log, 8, 8), ExportFormat.CSV, tmp_path / "out")

    assert (done.first, done.last, done.digests, done.signed) == (6, 10, 1, 10)
    assert checked(tmp_path / "out") == (0, "acme: the chain holds from 6 to 10; numbers 6 to 10 are signed.\n")


@pytest.mark.parametrize("format_", ExportFormat)
@pytest.mark.parametrize("line", [3, 9, 16])
def test_a_changed_or_missing_line_is_named(log: Log, tmp_path: Path, format_: ExportFormat, line: int) -> None:
    grown(log).auditing.export("acme", ALWAYS, format_, tmp_path / "out")
    file = tmp_path / "out" / f"entries.{format_}"
    lines = file.read_text().splitlines(keepends=True)
    place = line - 1 + (format_ is ExportFormat.CSV)

    file.write_text("".join([*lines[:place], lines[place].replace("APPLIED", "REFUSED"), *lines[place + 1 :]]))
    assert f"FAULT. Number {line} (entry" in checked(tmp_path / "out")[1]
    file.write_text("".join([*lines[:place], *lines[place + 1 :]]))
    assert f"FAULT. Number {line} is missing." in checked(tmp_path / "out")[1]


def test_what_was_cut_off_is_missed_by_the_digest(log: Log, tmp_path: Path) -> None:
    grown(log).auditing.export("acme", ALWAYS, ExportFormat.JSONL, tmp_path / "out")
    file = tmp_path / "out" / "entries.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:12]))

    assert "Number 13 and what follows are missing: a digest counts to 15." in checked(tmp_path / "out")[1]


def test_a_spreadsheet_finds_no_formula(log: Log, tmp_path: Path) -> None:
    grown(log).auditing.export("acme", ALWAYS, ExportFormat.CSV, tmp_path / "out")
    with (tmp_path / "out" / "entries.csv").open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]

    assert "'=2+2" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_what_is_not_what_was_sealed_is_not_exported(log: Log, tmp_path: Path) -> None:
    with grown(log).tampering() as owner:
        owner.execute("UPDATE m2m.audit_entry SET actor = 'x' WHERE tenant_id = 1")
    with pytest.raises(UnprovenExportError, match="Number 1"):
        log.auditing.export("acme", ALWAYS, ExportFormat.CSV, tmp_path / "out")


@pytest.mark.parametrize(
    ("digest", "instead", "told"),
    [
        (6, b"", "Number 6: a digest is gone"),
        (6, b"{}", "Number 6: the digest .* is not what was signed"),
        (11, b"", "Number 11: digests are gone"),
    ],
    ids=["one is gone", "one is forged", "the last is gone"],
)
def test_without_a_digest_over_what_is_asked_for_nothing_is_exported(
    log: Log, tmp_path: Path, digest: int, instead: bytes, told: str
) -> None:
    grown(log)
    first_ones, all_of_it = period(log, 1, 3), ALWAYS
    file = tmp_path / "digests" / "0000000001" / f"{digest:015}.json"
    file.unlink()
    if instead:
        file.write_bytes(instead)

    with pytest.raises(UnprovenExportError, match=told):
        log.auditing.export("acme", all_of_it, ExportFormat.CSV, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    done = log.auditing.export("acme", first_ones, ExportFormat.CSV, tmp_path / "out")
    assert (done.first, done.last, done.signed) == (1, 5, 5), "what is before it has its digest"


def test_a_time_without_entries_is_an_error_and_leaves_nothing(log: Log, tmp_path: Path) -> None:
    long_ago = Period(datetime(2001, 1, 1, tzinfo=UTC), datetime(2002, 1, 1, tzinfo=UTC))
    with pytest.raises(NothingToExportError, match="2001-01-01"):
        grown(log).auditing.export("acme", long_ago, ExportFormat.CSV, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_program_knows_a_good_signature_from_a_bad_one() -> None:
    for number in range(6):
        key = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
        statement, public = bytes(range(number * 9)), key.public_key().public_bytes_raw()
        signature = key.sign(statement)
        assert check_export.is_signed(statement, signature, public)
        assert not check_export.is_signed(statement + b"x", signature, public)
        for place in (0, 31, 32, 63):
            bad = bytearray(signature)
            bad[place] ^= 1
            assert not check_export.is_signed(statement, bytes(bad), public)
        assert not check_export.is_signed(statement, signature, bytes(32))
