"""`python -m benchmarks [--quick] [--only SCENARIO …] [--json FILE]`: measure, print the table and the verdict."""

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from benchmarks.machine import machine, versions
from benchmarks.measurement import InvalidRunError, Measurement
from benchmarks.report import as_json, print_head, print_queries, print_table, verdict
from benchmarks.scenarios import QUICK, SCENARIOS
from benchmarks.sql import plain
from benchmarks.stand import stand
from m2m_pipeline.local.signals import StopRequested, StopSignals

STOPPED = 130
"""As a shell reports a program that Ctrl-C ended."""

METHOD = (
    "Method: PostgreSQL with fsync on and the carrier simulator on this machine, fresh databases for each figure; a "
    "bulk change is a real Dagster run in a process of its own over Dagster's PostgreSQL storage; rates and calls are "
    "computed from the carrier's ledger; start-up is measured apart. See docs/performance.md."
)


class _Options(argparse.Namespace):
    quick: bool
    only: Sequence[str] | None
    json: Path | None
    list: bool


def main() -> int:
    """Measure what was asked for. 0: every target is reached, or the sizes were quick; 1: one is not; 130: stopped."""
    options = _parser().parse_args(namespace=_Options())
    if options.list:
        for name in SCENARIOS:
            sys.stdout.write(f"{name:12} {_summary(name)}\n")
        return 0
    names = [name for name in SCENARIOS if name in (options.only or (QUICK if options.quick else SCENARIOS))]
    results = options.json or Path(__file__).parent / f"results-{datetime.now(UTC):%Y-%m-%d}.jsonl"
    StopSignals()
    try:
        with results.open("a", encoding="utf-8") as lines:
            measurements = list(_measure(names, lines, quick=options.quick))
    except StopRequested:
        sys.stderr.write(f"Stopped; no process is left. What was measured is in {results}\n")
        return STOPPED
    print_table(sys.stdout, measurements, names)
    print_queries(sys.stdout, measurements)
    holds = verdict(measurements, names)
    sizes = "quick sizes: a hint, not the verdict" if options.quick else "full sizes"
    sys.stdout.write(f"{'All targets reached' if holds else 'A target is missed'} ({sizes}). Details: {results}\n")
    return 0 if holds or options.quick else 1


def _measure(names: Sequence[str], lines: TextIO, *, quick: bool) -> Iterator[Measurement]:
    with tempfile.TemporaryDirectory(prefix="m2m-bench-") as folder, stand(Path(folder)) as here:
        print_head(sys.stdout, METHOD, machine(), versions(plain(here.postgres.url("postgres"))))
        for name in names:
            sys.stderr.write(f"{name} …\n")
            began = time.monotonic()
            try:
                for measurement in SCENARIOS[name](here, quick):
                    lines.write(as_json(measurement) + "\n")
                    lines.flush()
                    yield measurement
            except InvalidRunError as error:
                sys.stderr.write(f"{name}: no figures: {error}\n")
            except Exception:  # noqa: BLE001 -- its targets count as missed; half an hour of other figures stays
                sys.stderr.write(f"{name}: no figures:\n{traceback.format_exc()}")
            sys.stderr.write(f"{name}: {time.monotonic() - began:.0f} s\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: a hint in three minutes")
    parser.add_argument("--only", action="append", choices=list(SCENARIOS), metavar="SCENARIO", help="may be repeated")
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    parser.add_argument("--json", type=Path, metavar="FILE", help="one object a measurement; appended to")
    return parser


def _summary(name: str) -> str:
    document = sys.modules[SCENARIOS[name].__module__].__doc__ or ""
    return document.partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
