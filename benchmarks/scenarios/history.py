"""What two weeks leave behind: whether the catalog's pages open, the purge keeps what is evidence, the audit holds."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles

from cryptography.fernet import Fernet
from pydantic import TypeAdapter

from benchmarks.history.company import MEMBERS, RUNS, Plan, carrier_world
from benchmarks.history.moments import repeat, stretch
from benchmarks.history.pages import webserver
from benchmarks.measurement import InvalidRunError, Measurement
from benchmarks.sql import rows
from benchmarks.stand import PROJECT, Stand
from benchmarks.targets import Figure
from m2m_pipeline.storage.retention import EXPIRED


@dataclass(frozen=True, slots=True)
class Size:
    """`runs` of the `changes` are real runs of the job; each provider has a scheduled run `every` interval.

    `lived_days`: parts, each with a pass; a page is opened `looks` times.
    """

    changes: int
    runs: int
    lived_days: int
    every: str
    looks: int


DAYS = 16
"""Two weeks and two days, so that something is older than the shortest time for which records are kept."""

KEPT_DAYS = {"M2M_RETENTION_RECORD_DAYS": "15", "M2M_RETENTION_RUN_DAYS": "14"}
FULL = Size(changes=300, runs=24, lived_days=DAYS, every="15 minutes", looks=20)
QUICK = Size(changes=20, runs=3, lived_days=4, every="3 hours", looks=3)
EVIDENCE = ("audit_entry", "audit_link", "bulk_change", "device_change", "device", "service_provider", "tenant")
"""What an auditor needs; a purge may add entries, and take none."""

_PATIENCE, _VERIFY_SECONDS = 400.0, 120.0
_NAME = "history"
_ON_RECORD = """
SELECT records, sum(count)::int FROM (
    SELECT request ->> 'records' AS records, (request ->> 'count')::int AS count FROM m2m.audit_entry
    WHERE kind = 'RECORDS_PURGED' UNION ALL SELECT records, count FROM m2m.purged
) noted GROUP BY 1
"""
_A_RUN = "SELECT run_id FROM runs WHERE pipeline_name = 'bulk_carrier_rate_plan_change' ORDER BY id DESC LIMIT 1"

_Row = tuple[object, ...]
_VERIFIED = TypeAdapter(list[dict[str, object]])


class _History:
    """The databases of a history, and what is asked of them."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        keys = {"M2M_ENCRYPTION_KEYS": Fernet.generate_key().decode()}
        self.environment = {**stand.databases(), **keys, **KEPT_DAYS}

    def execute(self, module: str, order: str) -> Mapping[str, str]:
        """Have a process of its own carry out an order; what it tells."""
        with self.stand.child(f"benchmarks.history.{module}", "", self.environment) as child:
            (cost,) = self.stand.cost([child.await_ready()], [order], _PATIENCE)
        return cost.work.told

    def business(self, statement: str) -> list[_Row]:
        return rows(self.environment["M2M_DATABASE_URL"], statement)

    def dagster(self, statement: str) -> list[_Row]:
        return rows(self.environment["M2M_DAGSTER_DATABASE_URL"], statement)

    def megabytes(self) -> tuple[float, float]:
        """Size of our database and of Dagster's."""
        size = "SELECT pg_database_size(current_database()) / 1e6::float8"
        ((ours,),), ((theirs,),) = self.business(size), self.dagster(size)
        return float(str(ours)), float(str(theirs))

    def counts(self, tables: Sequence[str]) -> dict[str, int]:
        """Rows of our tables."""
        return {one: int(str(self.business(f"SELECT count(*) FROM m2m.{one}")[0][0])) for one in tables}

    def runs(self) -> int:
        """Runs that Dagster has."""
        return int(str(self.dagster("SELECT count(*) FROM runs")[0][0]))


def measure(stand: Stand, quick: bool) -> Iterator[Measurement]:
    """Live the history, look at it, purge it, verify it."""
    size, here = QUICK if quick else FULL, _History(stand)
    lived = _live(here, size)
    case = f"{size.changes} changes, {here.runs():,} runs in {DAYS} days"
    ours, dagsters = here.megabytes()
    yield Measurement(_NAME, case, "size of our database", ours, "MB")
    yield Measurement(_NAME, case, "size of Dagster's database", dagsters, "MB", {"seconds to make": lived})
    yield from _look(here, case, size.looks)
    yield from _purge(here, case)
    yield from _verify(here, case)


def _live(here: _History, size: Size) -> Mapping[str, float]:
    """Make the history; seconds of each part."""
    stand, begun, seconds = here.stand, time.monotonic(), dict[str, float]()
    business, dagster = here.environment["M2M_DATABASE_URL"], here.environment["M2M_DAGSTER_DATABASE_URL"]
    stand.control.replace_world(carrier_world())
    stand.control.set_latency(0.0, 0.0)
    plan = Plan(carrier_url=stand.carrier_url, days=size.lived_days, changes=size.changes, runs=size.runs)
    lived = here.execute("living", plan.model_dump_json())
    seconds["lived"] = time.monotonic() - begun
    if here.counts(["audit_link"]) != {"audit_link": 0}:
        raise InvalidRunError("audit entries were sealed before their moments were final")
    stretch(business, dagster, float(lived["began"]), DAYS)
    scheduled = here.execute("upkeep", "reconciliation")
    seconds["with scheduled runs"] = time.monotonic() - begun
    repeat(dagster, scheduled[RUNS].split(), DAYS, size.every)
    seconds["with their copies"] = time.monotonic() - begun
    return seconds


def _look(here: _History, case: str, times: int) -> Iterator[Measurement]:
    ((run_id,),) = here.dagster(_A_RUN)
    with webserver(here.environment, here.stand.folder / "webserver.log") as server:
        for page, queries in server.pages(str(run_id)).items():
            taken = [server.open(queries) for _ in range(times)]
            detail = {"first": taken[0], "seconds": sorted(taken)}
            yield Measurement(_NAME, f"{case}: {page}", Figure.CATALOG_PAGE, max(taken), "s", detail)
            most = quantiles(taken, n=20, method="inclusive")[-1]
            yield Measurement(_NAME, f"{case}: {page}", "a page of the catalog opens, 95 % of looks", most, "s")


def _purge(here: _History, case: str) -> Iterator[Measurement]:
    """The retention as a real run, and what it says that it has removed against what is gone."""
    tables, before, runs = list(EXPIRED), here.counts(EVIDENCE), here.runs()
    expiring = here.counts(tables)
    began = time.monotonic()
    told = here.execute("upkeep", "retention")
    seconds = time.monotonic() - began
    lost = _fewer(before, here.counts(EVIDENCE))
    gone = {**_fewer(expiring, here.counts(tables)), "dagster_run": runs + 1 - here.runs()}  # the purge is a run itself
    if len(gone) == 1 or not gone["dagster_run"]:
        raise InvalidRunError(f"the purge found too little to remove, so it proves nothing: {gone}")
    # Twice: in the metadata of the purge's own run, and where it stays: in the audit logs, or a table if no tenant's.
    noted = {str(table): int(str(count)) for table, count in here.business(_ON_RECORD)}
    untold = sum(abs(count - int(told.get(table, "0"))) for table, count in gone.items())
    untold += sum(abs(count - noted.get(table, 0)) for table, count in gone.items())
    detail = {"gone": gone, "told by the run": told, "noted": noted}
    yield Measurement(_NAME, case, Figure.EVIDENCE_PURGED, sum(lost.values()), "", {"lost": lost})
    yield Measurement(_NAME, case, Figure.PURGED_UNTOLD, untold, "", detail)
    yield Measurement(_NAME, case, "purge, with the start of its process", seconds, "s")


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
