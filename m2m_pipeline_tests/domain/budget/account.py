"""Runs that share an account, played through in simulated time."""

import heapq
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import strategies as st

from m2m_pipeline.domain.budget.gate import Gate, Limits
from m2m_pipeline.domain.budget.turns import Asking, Grant, Wait, ask, ask_ahead


@dataclass
class Account:
    """Runs that always want more calls, in a time that only moves from event to event."""

    limits: Limits
    groups: dict[str, int]
    seed: int = 0
    weights: dict[str, int] = field(default_factory=dict[str, int])  # 1 where none is named
    latency: tuple[float, float] = (0.05, 0.3)
    gate: Gate = field(default_factory=Gate)
    now: float = 1000.0
    moments: list[float] = field(default_factory=list[float])
    share: Counter[str] = field(default_factory=Counter[str])
    most_in_flight: int = 0
    dead: frozenset[str] = frozenset()

    def play(self, seconds: float) -> None:
        rng = random.Random(self.seed)  # noqa: S311 -- a reproducible play, not a secret
        events = [(self.now, number, name) for number, name in enumerate(self.groups)]
        places: dict[str, list[float]] = {name: [] for name in self.groups}  # when the last call in each will end
        number = len(events)
        until = self.now + seconds
        while events and events[0][0] < until:
            self.now, _, name = heapq.heappop(events)
            places = {run: [end for end in ends if end > self.now] for run, ends in places.items()}
            own = places[name]
            asking = Asking(name, self.groups[name], held=len(own), weight=self.weights.get(name, 1))
            in_flight = sum(map(len, places.values()))
            self.gate, answer = ask(self.gate, self.limits, asking, in_flight, self.now)
            wait = answer
            if isinstance(answer, Grant):
                self.gate, wait = ask_ahead(self.gate, self.limits, asking, answer, in_flight, now=self.now)
            back_at = self.now + (wait.seconds + rng.uniform(0, 0.01) if isinstance(wait, Wait) else 0.005)
            if isinstance(answer, Grant):
                for call in range(answer.calls):
                    moment = answer.first_at + call * answer.spacing
                    if call >= answer.places:  # it follows in the place of the run that is free first
                        first_free = min(own)
                        own.remove(first_free)
                        moment = max(moment, first_free)
                    own.append(moment + rng.uniform(*self.latency))
                    self.moments.append(moment)
                self.share[name] += answer.calls
            self.most_in_flight = max(self.most_in_flight, sum(map(len, places.values())))
            number += 1
            if name not in self.dead:
                heapq.heappush(events, (back_at, number, name))


def calls_in_any_second(moments: list[float]) -> int:
    ordered = sorted(moments)
    first = most = 0
    for last, moment in enumerate(ordered):
        while ordered[first] <= moment - 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


LIMITS = st.builds(Limits, st.sampled_from([1.0, 5.0, 7.5, 50.0, 500.0, 5000.0]), st.integers(1, 300))


def grants(gate: Gate, limits: Limits, times: list[float], *, probe: bool = False) -> Iterator[Grant | Wait]:
    for now in times:
        gate, answer = ask(gate, limits, Asking("run", 1, probe), 0, now)
        yield answer
