"""What a scenario came to: the sums that a report shows, and the invariants that do not hold."""

from collections.abc import Sequence
from dataclasses import dataclass

from m2m_pipeline.domain.status import ENDED_BULK_CHANGES, FINISHABLE_DEVICES
from m2m_pipeline_tests.evidence import Evidence
from m2m_pipeline_tests.invariants import INVARIANTS, blind_repeats, changed_twice


@dataclass(frozen=True, slots=True)
class Verdict:
    """Over one bulk change. Everything but `devices` and `kills` must be empty."""

    name: str
    devices: int
    kills: int
    lost: Sequence[str] = ()  # devices without a final status, or all of them where the change has not ended
    twice: Sequence[str] = ()  # devices that the carrier was made to change more than once
    blind: Sequence[str] = ()  # devices with a second PUT before anybody has read what became of the first
    broken: Sequence[str] = ()  # invariants, and other rules of the scenario, with what is there instead

    @property
    def holds(self) -> bool:
        """Whether all that must hold does."""
        return not (self.lost or self.twice or self.blind or self.broken)


def judge(name: str, evidence: Evidence, kills: int, *broken: str) -> Verdict:
    """Judge what a bulk change has left behind, by the carrier's own ledger."""
    over = evidence.bulk.status in ENDED_BULK_CHANGES
    return Verdict(
        name=name,
        devices=len(evidence.rows),
        kills=kills,
        lost=[row.iccid for row in evidence.rows if not over or row.status not in FINISHABLE_DEVICES],
        twice=changed_twice(evidence),
        blind=[str(first.iccid) for first, _ in blind_repeats(evidence)],
        broken=[*broken, *_broken(evidence)],
    )


def _broken(evidence: Evidence) -> list[str]:
    found: list[str] = []
    for check in INVARIANTS:
        try:
            check(evidence)
        except AssertionError as error:
            found.append(f"{check.__name__}: {str(error)[:500]}")
    return found
