"""The slowest query of a while, by PostgreSQL's own log, with its plan: made once more, and rolled back."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import errors, sql

from benchmarks.sql import plain
from m2m_pipeline.storage.wall import TENANT_SETTING, WEB_ROLE

_EXECUTED = re.compile(
    r"LOG:  duration: (?P<ms>[\d.]+) ms  execute [^:\n]*: (?P<text>.*(?:\n\t.*)*)"
    r"(?:\n.*DETAIL:  Parameters: (?P<values>.*(?:\n\t.*)*))?"
)
_NODE = re.compile(
    r"(?P<indent> *(?:-> +)?)(?P<what>[^(]+?) +\(cost=.*actual time=[\d.]+\.\.(?P<ms>[\d.]+) "
    r"rows=(?P<rows>[\d.]+) loops=(?P<loops>\d+)"
)
_VALUE = re.compile(r"\$(\d+) = (NULL|'(?:[^']|'')*')")
_LONGEST = 200
"""Characters of a value that a kept text repeats: one holds 100,000 ICCIDs."""


@dataclass(frozen=True, slots=True)
class SlowQuery:
    """A query, how long it took among the others, and its plan."""

    milliseconds: float
    text: str
    plan: Sequence[str]

    def steps(self) -> Sequence[str]:
        """The plan's nodes, indented as it indents them: what each does, its rows, and its milliseconds in all."""
        nodes = [found for line in self.plan if (found := _NODE.match(line)) and found["what"] != "Result"]
        return [
            f"{node['indent'].replace('->', '')}{node['what']}: {float(node['rows']) * int(node['loops']):,.0f} rows, "
            f"{float(node['ms']) * int(node['loops']):.1f} ms"
            for node in nodes
        ]

    def detail(self) -> dict[str, object]:
        """As it is kept with the figure."""
        return {"slowest query": self.text, "ms": round(self.milliseconds, 1), "plan": list(self.plan)}


class QueryLog:
    """What one database executes from `begin` on; the server that is measured need not know of it."""

    def __init__(self, database_url: str, log: Path, tenant_id: int) -> None:
        self._url = plain(database_url)
        self._log = log
        self._tenant_id = tenant_id
        self._begun = 0

    def switch_on(self) -> None:
        """Have connections that are opened from now on log every query with its values."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            name = sql.Identifier(connection.info.dbname)
            connection.execute(sql.SQL("ALTER DATABASE {} SET log_min_duration_statement = 0").format(name))
            connection.execute(sql.SQL("ALTER DATABASE {} SET log_parameter_max_length = -1").format(name))

    def begin(self) -> None:
        """Forget what was before."""
        self._begun = self._log.stat().st_size

    def slowest(self, undo: str = "SELECT 1") -> SlowQuery:
        """The slowest query since `begin`, with the plan that it has as the role that may make it.

        `undo`: what has to be taken back before the query can be made once more.
        """
        with self._log.open("rb") as log:
            log.seek(self._begun)
            said = log.read().decode(errors="replace")
        slowest = max(_EXECUTED.finditer(said), key=lambda found: float(found["ms"]))
        values = dict(_VALUE.findall(slowest["values"] or ""))
        return SlowQuery(
            float(slowest["ms"]),
            " ".join(_filled(slowest["text"], {name: value[:_LONGEST] for name, value in values.items()}).split()),
            self._explain(_filled(slowest["text"], values), undo),
        )

    def _explain(self, query: str, undo: str) -> list[str]:
        try:
            return self._plan(query, undo, WEB_ROLE)
        except errors.InsufficientPrivilege:  # who somebody is, is looked up before it is known whose role to take
            return self._plan(query, undo, "none")

    def _plan(self, query: str, undo: str, role: str) -> list[str]:
        with psycopg.connect(self._url) as connection:
            connection.execute(undo.encode())
            confine = "SELECT set_config('role', %s, true), set_config(%s, %s, true)"
            connection.execute(confine, (role, TENANT_SETTING, str(self._tenant_id)))
            plan = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS) {query}".encode()).fetchall()
            connection.rollback()
        return [str(line) for (line,) in plan]


def _filled(query: str, values: dict[str, str]) -> str:
    return re.sub(r"\$(\d+)", lambda place: values.get(place[1], place[0]), query)
