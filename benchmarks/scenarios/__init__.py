"""The scenarios, by name, in the order in which they are run."""

from collections.abc import Callable, Collection, Iterator, Mapping

from benchmarks.measurement import Measurement
from benchmarks.scenarios import budget, drift, fairness, front_door, growth, history, peers, reaction, unthrottled
from benchmarks.stand import Stand

Scenario = Callable[[Stand, bool], Iterator[Measurement]]
"""Measures on the stand; the flag asks for the quick sizes."""

SCENARIOS: Mapping[str, Scenario] = {
    "budget": budget.measure,
    "fairness": fairness.measure,
    "unthrottled": unthrottled.measure,
    "peers": peers.measure,
    "growth": growth.measure,
    "drift": drift.measure,
    "history": history.measure,
    "reaction": reaction.measure,
    "front_door": front_door.measure,
}

QUICK: Collection[str] = SCENARIOS.keys() - {"history"}
"""Those of `--quick`: the history takes more than two minutes in its smallest size."""
