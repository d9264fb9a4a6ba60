"""One of ours and one of theirs, on the same stand: the same devices, the same carrier, the same server."""

from dataclasses import dataclass
from functools import lru_cache

from benchmarks.fleet import iccids
from benchmarks.measurement import InvalidRunError
from benchmarks.peers.task import IN_FLIGHT, Task
from benchmarks.site import Account, site
from benchmarks.sql import rows
from benchmarks.stand import Cost, Stand

LATENCY_MS = (50.0, 50.0)
FAR_ABOVE = 100_000.0
"""calls/s; a limit that nothing here comes near."""

_PATIENCE = 900.0
_EVENT_ROWS = "SELECT count(*) FROM event_logs WHERE run_id = %s"


@dataclass(frozen=True, slots=True)
class Ran:
    """So many devices were moved. Per device: CPU in ms, commits and fsyncs in numbers; times in s."""

    devices: int
    calls: int
    cost: Cost
    submitted_seconds: float = 0.0
    imported_seconds: float = 0.0
    event_rows: int = 0
    batches: int = 0

    @property
    def devices_per_second(self) -> float:
        """From the order to its end; start-up not counted."""
        return self.devices / self.cost.work.seconds

    @property
    def own_cpu_ms(self) -> float:
        """Of the process, user and system, for a device."""
        return self.cost.work.cpu_seconds / self.devices * 1000

    @property
    def fsyncs(self) -> float:
        """Of the write-ahead log, of all databases, for a device."""
        return self.cost.servers.wal_fsyncs / self.devices

    def detail(self) -> dict[str, object]:
        """Everything that was counted."""
        servers, work = self.cost.servers, self.cost.work
        return {
            "devices": self.devices,
            "seconds": round(work.seconds, 3),
            "devices/s": round(self.devices_per_second, 2),
            "own CPU ms a device": round(self.own_cpu_ms, 3),
            "PostgreSQL CPU ms a device": round(servers.postgres_cpu / self.devices * 1000, 3),
            "carrier CPU ms a device": round(servers.carrier_cpu / self.devices * 1000, 3),
            "commits a device": round(servers.commits / self.devices, 3),
            "WAL fsyncs a device": round(self.fsyncs, 3),
            "calls a device": round(self.calls / self.devices, 4),
            "peak RSS MB": round(work.peak_rss_mb, 1),
            "start-up seconds": round(self.cost.startup_seconds, 2),
            "start-up CPU seconds": round(self.cost.startup_cpu_seconds, 2),
            "submission seconds": round(self.submitted_seconds, 3),
            "inventory import seconds": round(self.imported_seconds, 3),
            "Dagster event rows": self.event_rows,
            "batches": self.batches,
        }


def run_ours(stand: Stand, devices: int) -> Ran:
    """A bulk change with nothing to hold it back but 100 calls in flight."""
    with site(stand, Account(devices, FAR_ABOVE, IN_FLIGHT, LATENCY_MS)) as here:
        imported = here.import_devices()
        submitted = here.submit(iccids(0, devices))
        (cost,) = here.run([submitted], _PATIENCE)
        ((event_rows,),) = here.dagster(_EVENT_ROWS, cost.work.told["run_id"])
        ((batches,),) = here.business(
            "SELECT count(DISTINCT batch) FROM m2m.device_change WHERE bulk_change_id = %s", submitted.id
        )
        assert isinstance(event_rows, int)
        assert isinstance(batches, int)
        return Ran(
            devices=devices,
            calls=len(here.calls()),
            cost=cost,
            submitted_seconds=submitted.seconds,
            imported_seconds=imported,
            event_rows=event_rows,
            batches=batches,
        )


@lru_cache
def run_ours_once(stand: Stand, devices: int) -> Ran:
    """For quick sizes, where several scenarios ask for the same run: it is measured once."""
    return run_ours(stand, devices)


def run_peer(stand: Stand, module: str, devices: int) -> Ran:
    """The same by a peer. Raises InvalidRunError unless each device was moved and has its row."""
    stand.carrier(devices, LATENCY_MS)
    task = Task(carrier_url=stand.carrier_url, database_url=stand.database(), devices=devices)
    task.make_table()
    with stand.child(module, task.model_dump_json(), stand.databases()) as child:
        (cost,) = stand.cost([child.await_ready()], ["go"], _PATIENCE)
    summary = stand.control.summary()
    rows = _outcome_rows(task)
    if (summary.changes, rows) != (devices, devices):
        raise InvalidRunError(f"{module}: {summary.changes} of {devices} devices moved, {rows} outcome rows")
    return Ran(devices, summary.calls, cost)


def run_bare_steps(stand: Stand) -> Cost:
    """A Dagster run of as many steps as ours has for one batch, with nothing in them."""
    with stand.child("benchmarks.bare_steps", "", stand.databases()) as child:
        (cost,) = stand.cost([child.await_ready()], ["go"], _PATIENCE)
    return cost


def _outcome_rows(task: Task) -> int:
    ((count,),) = rows(task.database_url, "SELECT count(*) FROM outcome WHERE http_status = 200")
    assert isinstance(count, int)
    return count
