"""What the servers of a measurement spend: PostgreSQL's CPU, commits and WAL fsyncs, and the carrier's CPU."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import psutil
import psycopg


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters since the servers' start, or their growth between two readings."""

    postgres_cpu: float  # s
    carrier_cpu: float  # s
    commits: int
    wal_fsyncs: int

    def __sub__(self, earlier: "Reading") -> "Reading":
        """The growth since an earlier reading."""
        return Reading(
            self.postgres_cpu - earlier.postgres_cpu,
            self.carrier_cpu - earlier.carrier_cpu,
            self.commits - earlier.commits,
            self.wal_fsyncs - earlier.wal_fsyncs,
        )


class Meters:
    """The counters of one PostgreSQL server, over all of its databases, and of the simulator beside it."""

    def __init__(self, address: str, postmaster: int, simulator: int) -> None:
        self._address = address
        self._postmaster = psutil.Process(postmaster)
        self._simulator = psutil.Process(simulator)

    def read(self) -> Reading:
        """Read now. Connections count what they did when they close: read after the measured process has ended."""
        with psycopg.connect(self._address, autocommit=True) as connection:
            commits, fsyncs = _counters(connection)
        return Reading(
            # A backend that has ended is in the postmaster's children times.
            postgres_cpu=_cpu(self._postmaster, ended_children=True) + sum(map(_cpu, _children(self._postmaster))),
            carrier_cpu=_cpu(self._simulator),
            commits=commits,
            wal_fsyncs=fsyncs,
        )


def _counters(connection: psycopg.Connection) -> tuple[int, int]:
    fsyncs = (
        "SELECT sum(fsyncs)::bigint FROM pg_stat_io WHERE object = 'wal'"
        if connection.info.server_version >= 180000  # noqa: PLR2004 - where PostgreSQL moved the counter
        else "SELECT wal_sync FROM pg_stat_wal"
    )
    row = connection.execute(f"SELECT (SELECT sum(xact_commit)::bigint FROM pg_stat_database), ({fsyncs})").fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def _children(process: psutil.Process) -> Iterable[psutil.Process]:
    return process.children()


def _cpu(process: psutil.Process, *, ended_children: bool = False) -> float:
    with suppress(psutil.NoSuchProcess):  # ended between the list and this look
        times = process.cpu_times()
        own = times.user + times.system
        return own + (times.children_user + times.children_system if ended_children else 0.0)
    return 0.0
