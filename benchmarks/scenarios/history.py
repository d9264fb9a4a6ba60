"""What two weeks leave behind: whether the catalog's pages open, the purge keeps what is evidence, the audit holds."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from cryptography.fernet import Fernet
from pydantic import TypeAdapter

from benchmarks.history.company import MEMBERS, Often, Plan, carrier_world
from benchmarks.history.dagster_services import webserver
from benchmarks.history.daily_work import work_once
from benchmarks.history.moments import stretch
from benchmarks.history.pages import Known, NoBrowserError, browser, pages
from benchmarks.history.quiet_queue import quiet_queue
from benchmarks.measurement import InvalidRunError, Measurement
from benchmarks.protocol import Work
from benchmarks.sql import rows
from benchmarks.stand import PROJECT, Stand
from benchmarks.targets import Figure
from m2m_pipeline.services.audit.signing import generate
from m2m_pipeline.storage.retention import EXPIRED


@dataclass(frozen=True, slots=True)
class Size:
    """`runs` of the `changes` are real runs of the job. `lived_days`: parts, each with a pass.

    Of the ticks and scheduled runs one in `share` is there; a page is opened `looks` times.
    """

    changes: int
    runs: int
    lived_days: int
    share: int
    looks: int


DAYS = 16
"""Two weeks and two days, so that something is older than the shortest time for which records are kept."""

KEPT_DAYS = {"M2M_RETENTION_RECORD_DAYS": "15", "M2M_RETENTION_RUN_DAYS": "14"}
FULL = Size(changes=300, runs=24, lived_days=DAYS, share=1, looks=5)
QUICK = Size(changes=20, runs=3, lived_days=4, share=12, looks=2)
EVIDENCE = ("audit_entry", "audit_link", "bulk_change", "device_change", "device", "service_provider", "tenant")
"""What an auditor needs; a purge may add entries, and take none."""

_PATIENCE, _VERIFY_SECONDS = 900.0, 120.0
_NAME = "history"
_ON_RECORD = """
SELECT records, sum(count)::int FROM (
    SELECT request ->> 'records' AS records, (request ->> 'count')::int AS count FROM m2m.audit_entry
    WHERE kind = 'RECORDS_PURGED' UNION ALL SELECT records, count FROM m2m.purged
) noted GROUP BY 1
"""
_LATEST = """
SELECT max(run_id) FILTER (WHERE change), max(run_id) FILTER (WHERE NOT change) FROM (
    SELECT DISTINCT ON (change) run_id, pipeline_name = 'bulk_carrier_rate_plan_change' AS change FROM runs
    ORDER BY change, id DESC) latest
"""
_DAGSTERS = {"dagster_run": "runs", "asset_check_execution": "asset_check_executions", "dagster_tick": "job_ticks"}
"""What the purge says of Dagster's rows, and the tables that hold them."""

_Row = tuple[object, ...]
_VERIFIED = TypeAdapter(list[dict[str, object]])


class _History:
    """The databases of a history, and what is asked of them."""

    def __init__(self, stand: Stand, queue: Mapping[str, str]) -> None:
        self.stand = stand
        secret, _ = generate()
        digests = {"M2M_AUDIT_DIGEST_TARGET": str(stand.folder / "digests"), "M2M_AUDIT_SIGNING_KEY": secret}
        keys = {"M2M_ENCRYPTION_KEYS": Fernet.generate_key().decode(), **digests}
        self.environment = {**stand.databases(), **keys, **queue, **KEPT_DAYS}
        self.business_url = self.environment["M2M_DATABASE_URL"]
        self.dagster_url = self.environment["M2M_DAGSTER_DATABASE_URL"]

    def execute(self, module: str, order: str) -> Work:
        """Have a process of its own carry out an order; what it tells, and how long that took."""
        with self.stand.child(f"benchmarks.history.{module}", "", self.environment) as child:
            (cost,) = self.stand.cost([child.await_ready()], [order], _PATIENCE)
        return cost.work

    def business(self, statement: str) -> list[_Row]:
        return rows(self.business_url, statement)

    def dagster(self, statement: str) -> list[_Row]:
        return rows(self.dagster_url, statement)

    def megabytes(self) -> tuple[float, float]:
        """Size of our database and of Dagster's."""
        size = "SELECT pg_database_size(current_database()) / 1e6::float8"
        ((ours,),), ((theirs,),) = self.business(size), self.dagster(size)
        return float(str(ours)), float(str(theirs))

    def counts(self, tables: Sequence[str]) -> dict[str, int]:
        """Rows of our tables."""
        return {one: int(str(self.business(f"SELECT count(*) FROM m2m.{one}")[0][0])) for one in tables}

    def noted(self) -> dict[str, int]:
        """How many rows of what have been purged, as it stays on record."""
        return {str(records): int(str(count)) for records, count in self.business(_ON_RECORD)}

    def dagsters(self) -> dict[str, int]:
        """Rows of those of Dagster's tables from which the purge removes, by its words for them."""
        return {name: int(str(self.dagster(f"SELECT count(*) FROM {one}")[0][0])) for name, one in _DAGSTERS.items()}


def measure(stand: Stand, quick: bool) -> Iterator[Measurement]:
    """Live the history, look at it, purge it, verify it."""
    size = QUICK if quick else FULL
    with quiet_queue(MEMBERS[0].tenant) as queue:
        yield from _measure(_History(stand, queue), size)


def _measure(here: _History, size: Size) -> Iterator[Measurement]:
    lived = _live(here, size)
    rows_there = here.dagsters()
    runs, ticks = rows_there["dagster_run"], rows_there["dagster_tick"]
    case = f"{size.changes} changes, {runs:,} runs, {ticks:,} ticks in {DAYS} days"
    ours, dagsters = here.megabytes()
    yield Measurement(_NAME, case, "size of our database", ours, "MB")
    yield Measurement(_NAME, case, "size of Dagster's database", dagsters, "MB", {"seconds to make": lived})
    yield from _look(here, case, size.looks)
    yield from _purge(here, case)
    yield from _verify(here, case)


def _live(here: _History, size: Size) -> Mapping[str, float]:
    """Make the history; seconds of each part."""
    stand, begun, seconds = here.stand, time.monotonic(), dict[str, float]()
    stand.control.replace_world(carrier_world())
    stand.control.set_latency(0.0, 0.0)
    # One more is run by the daemon.
    plan = Plan(carrier_url=stand.carrier_url, days=size.lived_days, changes=size.changes - 1, runs=size.runs - 1)
    lived = here.execute("living", plan.model_dump_json()).told
    seconds["lived"] = time.monotonic() - begun
    if here.counts(["audit_link"]) != {"audit_link": 0}:
        raise InvalidRunError("audit entries were sealed before their moments were final")
    stretch(here.business_url, here.dagster_url, float(lived["began"]), DAYS)
    work_once(here.environment, stand.folder / "daemon.log")
    seconds["with what the daemon does"] = time.monotonic() - begun
    often = Often(days=DAYS, share=size.share, asked=plan.changes)
    here.execute("repeating", often.model_dump_json())
    seconds["as often as it does it"] = time.monotonic() - begun
    return seconds


def _look(here: _History, case: str, times: int) -> Iterator[Measurement]:
    """Without a browser there is no figure, so that its target counts as missed."""
    try:
        opened = _opened(here, times)
    except NoBrowserError as error:
        sys.stderr.write(f"{_NAME}: no page was opened: {error}\n")
        return
    for name, taken in opened.items():
        page, detail = f"{case}: {name}", {"seconds, in order": taken}
        yield Measurement(_NAME, page, Figure.CATALOG_PAGE, max(taken), "s", detail)
        yield Measurement(_NAME, page, "a page of the catalog opens, median", median(taken), "s")


def _opened(here: _History, times: int) -> Mapping[str, Sequence[float]]:
    """Seconds of each look at each page; the very first, with which the browser gets the UI's scripts, is left out."""
    ((run, newest_run),) = here.dagster(_LATEST)
    ((last, changes),) = here.business("SELECT max(id)::int, count(*)::int FROM m2m.bulk_change")
    known = pages(Known(int(str(last)), int(str(changes)), str(run), str(newest_run)))
    with webserver(here.environment, here.stand.folder / "webserver.log") as url, browser(url) as visitor:
        visitor.open(next(iter(known.values())))
        return {name: [visitor.open(page) for _ in range(times)] for name, page in known.items()}


def _purge(here: _History, case: str) -> Iterator[Measurement]:
    """The retention as a real run, and what it says that it has removed against what is gone."""
    tables, before, dagsters = list(EXPIRED), here.counts(EVIDENCE), here.dagsters()
    noted_before = here.noted()  # by the run that the daemon had
    expiring = here.counts(tables)
    work = here.execute("upkeep", "retention")
    lost = _fewer(before, here.counts(EVIDENCE))
    dagsters["dagster_run"] += 1  # the purge is a run itself
    gone = {**_fewer(expiring, here.counts(tables)), **_fewer(dagsters, here.dagsters())}
    if missing := {*_DAGSTERS, "drift"} - gone.keys():
        raise InvalidRunError(f"the purge found nothing of {missing} to remove, so it proves nothing: {gone}")
    # Twice: in the metadata of the purge's own run, and where it stays: in the audit logs, or a table if no tenant's.
    noted = {table: count - noted_before.get(table, 0) for table, count in here.noted().items()}
    untold = sum(abs(count - int(work.told.get(table, "0"))) for table, count in gone.items())
    untold += sum(abs(count - noted.get(table, 0)) for table, count in gone.items())
    detail = {"gone": gone, "told by the run": work.told, "noted": noted}
    yield Measurement(_NAME, case, Figure.EVIDENCE_PURGED, sum(lost.values()), "", {"lost": lost})
    yield Measurement(_NAME, case, Figure.PURGED_UNTOLD, untold, "", detail)
    yield Measurement(_NAME, f"{case}, {sum(gone.values()):,} rows gone", "purge", work.seconds, "s", {"gone": gone})


def _fewer(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    return {table: count - after[table] for table, count in before.items() if after[table] < count}


def _verify(here: _History, case: str) -> Iterator[Measurement]:
    """`m2m audit verify` over all tenants, as an operator has it."""
    began = time.monotonic()
    command = [sys.executable, "-c", "from m2m_pipeline.cli import main; main()", "audit", "verify", "--json"]
    said = subprocess.run(
        command, env=here.environment, cwd=PROJECT, capture_output=True, timeout=_VERIFY_SECONDS, check=False
    )
    seconds = time.monotonic() - began
    try:
        verified = _VERIFIED.validate_json(said.stdout)
    except ValueError as error:
        raise InvalidRunError(f"m2m audit verify: {said.stderr.decode()[-2000:]}") from error
    proven = sum(int(str(one["proven"])) for one in verified)
    entries = here.counts(["audit_entry"])["audit_entry"]
    if {one["tenant"] for one in verified} != {one.tenant for one in MEMBERS}:
        raise InvalidRunError(f"not every tenant was verified: {json.dumps(verified)}")
    share = proven / entries if said.returncode == 0 else 0.0
    yield Measurement(_NAME, case, Figure.AUDIT_PROVEN, share, "", {"entries": entries, "tenants": verified})
    yield Measurement(_NAME, case, "m2m audit verify", seconds, "s")
