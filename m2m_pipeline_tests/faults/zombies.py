"""A run is stopped for longer than its lease, another one finishes its work, and then it wakes up."""

import random
import signal
import time
from collections.abc import Mapping

from m2m_pipeline_tests.faults.field import LEASE_SECONDS, Field, eventually
from m2m_pipeline_tests.faults.points import POINTS
from m2m_pipeline_tests.faults.verdict import Verdict, judge

DEVICES = 120
STOPPED_SECONDS = 3 * LEASE_SECONDS

ANYWHERE = "anywhere"
PLACES = (ANYWHERE, "inside the commit of SENDING", "after the commit of SENDING", "inside the commit of outcomes")
"""Where a run is stopped: while its calls are under way, or at a crash point, inside a transaction or not."""

_GATE = {"carrier_gate", "carrier_call"}
"""The account's bookkeeping, which is nobody's bulk change: whoever wakes up gives his places back."""

_OF_BULK_CHANGES = {"transaction_mark": "WHERE tenant_id IS NOT NULL"}
"""Of what is both's: the mark of a transaction at the gate has no tenant, every other has."""


def wake_zombie(field: Field, seed: int, place: str) -> Verdict:
    """Stop a run at a place, let another one finish, and let it go on: it writes nothing, and calls nobody."""
    draw = random.Random(f"{seed} zombie {place}")  # noqa: S311 - reproducible, not secret
    field.control.set_latency(20, 60)
    change = field.submit(batch_size=draw.choice((40, 60)), in_flight=8)
    if place == ANYWHERE:
        zombie = field.dispatch(change)
        puts = draw.randint(5, DEVICES - 20)
        eventually(lambda: field.puts(change) >= puts or None, "its calls")
        zombie.send(signal.SIGSTOP)
    else:
        zombie = field.dispatch(change, place, draw.randint(1, min(2, POINTS[place].most)), signal.SIGSTOP)
    eventually(lambda: zombie.stopped or None, "the stop")
    stopped_at = time.monotonic()
    field.heal(change)
    eventually(lambda: time.monotonic() - stopped_at > STOPPED_SECONDS or None, "three leases")
    rows, calls = _rows(field), len(field.control.calls())
    zombie.send(signal.SIGCONT)
    ending = zombie.end()
    broken = [f"the zombie wrote {table}" for table, found in _rows(field).items() if found != rows[table]]
    if (more := len(field.control.calls()) - calls) > 0:
        broken.append(f"the zombie made {more} calls")
    if ending == "done":
        broken.append("the zombie took its work for done")
    return judge(f"zombie, stopped {place}", field.evidence(change), 1, *broken)


def _rows(field: Field) -> Mapping[object, object]:
    """A digest of every table that belongs to bulk changes, and of their part of the marks."""
    tables = field.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'm2m'")
    digest = "SELECT md5(coalesce(string_agg(t::text, '' ORDER BY t::text), '')) FROM m2m.{} t {}"
    names = {str(name) for (name,) in tables} - _GATE
    return {name: field.sql(digest.format(name, _OF_BULK_CHANGES.get(name, ""))) for name in names}
