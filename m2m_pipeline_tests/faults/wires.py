"""The network fails under an attempt: between us and the carrier, and between us and the database."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from sqlalchemy import make_url

from m2m_pipeline_tests.evidence import Evidence
from m2m_pipeline_tests.faults.field import Field, eventually
from m2m_pipeline_tests.faults.proxy import Fault, Harm, proxy_before
from m2m_pipeline_tests.faults.verdict import Verdict, judge
from m2m_pipeline_tests.faults.worker import ANSWER_SECONDS

DEVICES = 60
STALLED_SECONDS = ANSWER_SECONDS + 0.2
"""Longer than we wait for the carrier."""

_NEVER_ARRIVES = {Harm.CUT_BEFORE, Harm.CUT_INSIDE, Harm.HALF_OPEN}

STRUCK = 5
"""Calls that are struck in one change."""


def cut_carrier(field: Field, seed: int, harm: Harm) -> Verdict:
    """Some of the change calls meet with harm on their way."""
    draw = random.Random(f"{seed} carrier {harm}")  # noqa: S311 - reproducible, not secret
    address = urlsplit(field.carrier_url)
    with proxy_before(str(address.hostname), int(address.port or 0)) as proxy:
        turns = frozenset(draw.sample(range(1, DEVICES), STRUCK))
        proxy.fault = fault = Fault(
            harm,
            b"PUT /",
            turns,
            part=draw.randint(1, 150),
            seconds=STALLED_SECONDS if harm is not Harm.DELAY else 0.2,
        )
        change = field.submit(batch_size=30, carrier_url=f"http://127.0.0.1:{proxy.port}")
        field.dispatch(change)
        field.heal(change)
    evidence = field.evidence(change)
    if harm in _NEVER_ARRIVES and change.attempt == 1:  # we count the calls that we made
        made = evidence.bulk.carrier_calls - fault.struck
        evidence = replace(evidence, bulk=replace(evidence.bulk, carrier_calls=made))
    return judge(f"carrier: {harm.name}, seed {seed}", evidence, fault.struck, *_unstruck(fault))


def cut_database(field: Field, seed: int, harm: Harm, turns: Sequence[int], after: bytes = b"") -> Verdict:
    """Some of the run's commits (those on connections that carried `after` before) meet with harm on their way."""
    address, usual = make_url(field.database_url), field.settings
    with proxy_before(str(address.host), int(address.port or 0)) as proxy:
        proxy.fault = fault = Fault(harm, b"COMMIT", frozenset(turns), after)
        by_detour = address.set(port=proxy.port).render_as_string(hide_password=False)
        field.settings = {**usual, "database_url": by_detour}
        try:
            change = field.submit(batch_size=30)
            field.dispatch(change)
            field.heal(change)
            eventually(lambda: not any(worker.alive for worker in change.workers) or None, "the end of its runs")
        finally:
            field.settings = usual
    name = f"database: {harm.name}, seed {seed}"
    evidence = field.evidence(change)
    return judge(name, evidence, fault.struck, *_unstruck(fault), *_told_twice(evidence))


def commits_from(first: int) -> tuple[int, int, int]:
    """Some commits of a run, by their number."""
    return (first, first + 3, first + 7)


def _told_twice(evidence: Evidence) -> list[str]:
    """Devices with more entries of carrier calls than the carrier has seen calls."""
    told = Counter(entry.iccid for entry in evidence.audit if entry.kind == "CARRIER_CALL")
    made = Counter(call.iccid for call in evidence.puts())
    return [f"{iccid}: {count} calls told, {made[iccid]} made" for iccid, count in told.items() if count > made[iccid]]


def _unstruck(fault: Fault) -> list[str]:
    return [] if fault.struck else ["nothing was struck"]
