"""What an account is configured to allow, and what is remembered of it."""

from dataclasses import dataclass

SHARE_OF_THE_LIMIT = 0.975
"""Timers and networks bunch calls that left evenly. At 97.5 % of the limit calls may arrive up to 25 ms off their time
before a sliding second sees one too many; at 100 % not at all."""

PROBE_SECONDS = 10.0
"""While it is open, one call at a time, and one in so many seconds at most, tries whether the carrier is back."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the account is configured to allow."""

    calls_per_second: float
    in_flight: int
    probe_seconds: float = PROBE_SECONDS

    @property
    def binding(self) -> bool:
        """Whether late calls could take the account over its limit.

        They cannot where all that may be in flight fit into the share of the limit that is left free.
        """
        return self.in_flight > self.calls_per_second * (1 - SHARE_OF_THE_LIMIT)

    def ample_at(self, rate: float) -> bool:
        """Whether places are so much scarcer than calls that calls may wait for places, and still not exceed `rate`.

        As above; up to one and a half times as many as may be in flight then wait beside them.
        """
        return self.in_flight * 2.5 <= rate * (1 - SHARE_OF_THE_LIMIT)


@dataclass(frozen=True, slots=True)
class Turn:
    """A run that waits: when it was seen last, when it will come back to ask, and its turns until the next run's.

    `calls`: how many it will ask for in one turn.
    """

    holder: str
    seen_at: float
    back_at: float
    turns: int = 1
    calls: int = 1


@dataclass(frozen=True, slots=True)
class Gate:
    """What is remembered of an account. The default is an account that was never used."""

    next_call_at: float = 0.0
    pace: float | None = None  # calls/s that the carrier taught us, as the last rest ends; None: as configured
    paced_at: float = 0.0  # when the carrier last said that it was too much
    recent: tuple[bool, ...] = ()  # the last outcomes, newest last; True where no believable answer came
    probe_at: float | None = None  # the breaker is open; when the next probe may leave
    waiting: tuple[Turn, ...] = ()
    open_since: float | None = None  # when the outage began: the breaker's first opening in it
    lost: int = 0  # changes in a row without a believable answer, whatever reads were answered meanwhile
    lost_at: float | None = None  # when the last of them, or of those before, was heard of
    rests_until: float = 0.0  # when the last rest that the carrier brought about ends: no call leaves before
