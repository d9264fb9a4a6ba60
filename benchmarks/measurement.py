"""What a scenario says: a figure, in which case it was measured, and what it was made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.slowest import SlowQuery
from benchmarks.targets import TARGET_OF, Target


class InvalidRunError(Exception):
    """A run did not do its work; how fast it did not do it is worth nothing."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure. `case`: what was varied. `detail`: what it was computed from, JSON values by name.

    `query`: the slowest query of the while that was measured, where somebody looked for it.
    """

    scenario: str
    case: str
    figure: str
    value: float
    unit: str = ""
    detail: Mapping[str, object] = field(default_factory=dict[str, object])
    query: SlowQuery | None = None

    @property
    def target(self) -> Target | None:
        """What must be reached; None for a figure that only explains others."""
        return TARGET_OF.get(self.figure)

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None without one."""
        return None if self.target is None else self.target.reached(self.value)
