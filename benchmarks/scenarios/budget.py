"""How much of the account's calls is used and whether its limits are kept, by one run and by four at once."""

from collections.abc import Iterator
from math import ceil

from benchmarks.fleet import iccids
from benchmarks.ledger import most_in_a_second, share_used, slowest_share
from benchmarks.measurement import Measurement
from benchmarks.site import Account, Site, site
from benchmarks.stand import Stand
from benchmarks.targets import Figure
from m2m_pipeline.simulator.documents import LedgerCall

LATENCY_MS = (50.0, 300.0)
FULL_SECONDS, QUICK_SECONDS = 90, 8
"""How long the work of a measurement takes at its limit."""

FULL_LIMITS, QUICK_LIMITS = (5, 50, 500), (50,)
RUNS = 4
ROOM = 1.3
"""Calls in flight allowed, to those that the slowest answers would need at the limit."""

MANY = 1_000
"""Devices of a run from which on confirming them is to cost little."""

_NAME = "budget"


def measure(stand: Stand, quick: bool) -> Iterator[Measurement]:
    """Each limit with one run and with four, in processes of their own."""
    seconds = QUICK_SECONDS if quick else FULL_SECONDS
    for limit in QUICK_LIMITS if quick else FULL_LIMITS:
        for runs in (1, RUNS):
            account = Account(
                devices=limit * seconds // RUNS * RUNS,
                calls_per_second=limit,
                in_flight=ceil(limit * LATENCY_MS[1] / 1000 * ROOM),
                latency_ms=LATENCY_MS,
            )
            with site(stand, account) as here:
                yield from _measure(here, runs, seconds)


def _measure(here: Site, runs: int, seconds: float) -> Iterator[Measurement]:
    account = here.account
    here.import_devices()
    each = account.devices // runs
    fleets = [iccids(run * each, each) for run in range(runs)]
    here.run([here.submit(fleet) for fleet in fleets], patience=60 + 5 * seconds)
    calls = _from_the_first_change(here.calls())
    starts = [call.start for call in calls]
    case = f"{account.calls_per_second:g}/s, {runs} run{'s' if runs > 1 else ''}"
    most, deepest = most_in_a_second(starts), max(call.in_flight for call in calls)
    detail = {"devices": account.devices, "calls": len(calls), "seconds": max(starts) - min(starts)}
    yield Measurement(_NAME, case, Figure.BUDGET_SHARE, share_used(starts, account.calls_per_second), "", detail)
    over = max(0, most - int(account.calls_per_second))
    yield Measurement(_NAME, case, Figure.OVER_THE_LIMIT, over, "", {"most in a second": most})
    over = max(0, deepest - account.in_flight)
    yield Measurement(_NAME, case, Figure.OVER_IN_FLIGHT, over, "", {"most": deepest, "cap": account.in_flight})
    if each >= MANY:
        yield Measurement(_NAME, case, Figure.CALLS_A_DEVICE, len(calls) / account.devices)
    if runs > 1:
        by_device = {call.iccid: call.start for call in calls if call.method == "PUT"}
        puts = [[by_device[one] for one in fleet] for fleet in fleets]
        yield Measurement(_NAME, case, Figure.SLOWEST_OF_FOUR, slowest_share(puts))


def _from_the_first_change(calls: list[LedgerCall]) -> list[LedgerCall]:
    """Without the signing in that comes before the first change call."""
    first = min(call.start for call in calls if call.method == "PUT")
    return [call for call in calls if call.start >= first]
