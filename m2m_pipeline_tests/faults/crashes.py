"""An attempt dies at a named point; what the product does by itself brings every device to its end."""

import random
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.faults.field import LEASE_SECONDS, Change, Field, eventually
from m2m_pipeline_tests.faults.points import AFTER_THE_REQUEST_LEFT, POINTS
from m2m_pipeline_tests.faults.verdict import Verdict, judge
from m2m_pipeline_tests.faults.worker import Worker

ALL_POINTS = (*POINTS, AFTER_THE_REQUEST_LEFT)
DEVICES = 200
AT_ONCE = 6
"""Changes in work at the same time: they wait for leases most of the time."""

RESUMED_SECONDS = LEASE_SECONDS + 5.0
"""From a death to the next attempt: the lease, the look of the sweeper, and what a busy machine takes."""

_TROUBLES = ("applied_then_reset", "error500_applied", "error500_not_applied", "reset_before", "html_502")


def crash_everywhere(field: Field, seed: int, names: Sequence[str] = ALL_POINTS) -> dict[str, Verdict]:
    """One change for each point, whose first attempt dies there; the verdicts by point."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(names, pool.map(partial(crash, field, seed), names), strict=True))


def crash(field: Field, seed: int, name: str) -> Verdict:
    """Let the first attempt at a change die at a point, which passing the seed decides, and heal."""
    draw = random.Random(f"{seed} {name}")  # noqa: S311 - reproducible, not secret
    change = field.submit(batch_size=draw.choice((40, 70, 100)), in_flight=draw.choice((20, 40)))
    victims = draw.sample(change.iccids, 6)
    for trouble, iccid in zip(_TROUBLES, victims[1:], strict=True):  # ordinary trouble goes on meanwhile
        field.control.start(Rule(name=trouble, iccids=frozenset({iccid}), methods=_PUT, calls_per_device=1))
    if name == AFTER_THE_REQUEST_LEFT:
        worker = _kill_in_call(field, change, victims[0])
    else:
        worker = field.dispatch(change, name, draw.randint(1, POINTS[name].most))
    ended = worker.end()
    died_at = time.monotonic()
    broken = [] if ended == "killed" else [f"the attempt was to die {name}; it came to: {ended}"]
    eventually(lambda: _resumed(field, change), f"the attempt after the one that died {name}")
    resumed_after = time.monotonic() - died_at
    if resumed_after > RESUMED_SECONDS:
        broken.append(f"resumed after {resumed_after:.1f} s")
    field.heal(change)
    return judge(name, field.evidence(change), 1, *broken)


def _kill_in_call(field: Field, change: Change, victim: str) -> Worker:
    """An attempt that is killed while the carrier, which has acted, owes it an answer."""
    silence = field.control.start(Rule(name="applied_then_silence", iccids=frozenset({victim}), methods=_PUT))
    worker = field.dispatch(change)
    eventually(lambda: field.puts(change, victim) or None, "the call in the carrier's ledger")
    worker.send(signal.SIGKILL)
    field.control.stop(silence)
    return worker


def _resumed(field: Field, change: Change) -> bool | None:
    """Whether the next attempt has begun, or none is needed. Does what the product does by itself."""
    return field.step(change) or change.attempt > 1 or None


_PUT = frozenset({"PUT"})
