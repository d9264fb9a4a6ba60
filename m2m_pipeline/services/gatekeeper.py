"""Asks an account's gate for permits and tells it what became of the calls, in a transaction each: for threads.

A transaction that counts something (permits, or the ends of calls) leaves a mark, so that it is not said again where
only the answer to its commit was lost.
"""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf

from m2m_pipeline.domain import budget
from m2m_pipeline.domain.budget import Asking, Ending, Gate, Grant, Limits, Wait
from m2m_pipeline.domain.outcome import GATE_CLOSED, Unconfirmed, Unreachable
from m2m_pipeline.services.places import PATIENCE_SECONDS
from m2m_pipeline.storage import gate
from m2m_pipeline.storage.database import Database, retrying_transient


@dataclass(frozen=True, slots=True)
class Permit:
    """One call that may be made, at `moment` of the event loop's clock; given back by `Pacer.end`."""

    place: int | None  # among the account's calls in flight; None: the next that is vacated here
    moment: float
    late_at: float  # from then on it is worth nothing


@dataclass(frozen=True, slots=True)
class Permits:
    """What was granted at once. `kept`: the places of which the account was told again, since calls follow in them."""

    permits: Sequence[Permit]
    probe: bool
    kept: Sequence[int]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call has ended. `change`: it was no read."""

    outcome: object
    change: bool


@dataclass(frozen=True, slots=True)
class News:
    """What the account has not heard yet: the places that are free, and how calls have ended."""

    free: Sequence[int]
    ended: Sequence[Ended]


@dataclass
class Gatekeeper:
    """One holder of permits at the gate of one account. `weight`: as in `Asking`."""

    database: Database
    account: str
    limits: Limits
    weight: int = 1
    _holder: str = field(default_factory=lambda: secrets.token_hex(8))
    _ahead: float = inf  # the event loop's clock to the database's: what is known of it best
    _away_at: datetime | None = None  # when the carrier was known to be away last

    @retrying_transient
    def ask(self, calls: int, *, probe: bool, held: int, stale: Sequence[int], news: News) -> Permits | Wait:
        """Up to `calls` permits for a holder of `held` places, the `stale` of which the account is to hear of again."""
        with self.database.marked() as (tx, mark):
            before = time.monotonic()
            locked = gate.lock(tx, self.account, news.free)
            self._ahead = _nearest(self._ahead, before - locked.now, time.monotonic() - locked.now)
            asking = Asking(self._holder, calls, probe, held, self.weight)
            decided, answer = budget.ask(self._after(locked, news), self.limits, asking, locked.in_flight, locked.now)
            if isinstance(answer, Wait):
                gate.store(tx, self.account, decided, mark=mark if news.ended else None)
                return answer
            kept = stale if answer.calls > answer.places else ()
            if kept:
                gate.keep(tx, kept, locked.now)
            places = gate.store(tx, self.account, decided, self._holder, answer, mark=mark)
        return Permits(self._permits(answer, places), answer.probe, kept)

    @retrying_transient
    def tell(self, news: News) -> None:
        """The news alone."""
        with self.database.marked() as (tx, mark):
            locked = gate.lock(tx, self.account, news.free)
            gate.store(tx, self.account, self._after(locked, news), mark=mark if news.ended else None)

    def was_away_since(self, moment: datetime) -> bool:
        """Whether the account has been silent at some time since a moment, as far as was asked or told here."""
        return self._away_at is not None and self._away_at >= moment

    def _permits(self, grant: Grant, places: Sequence[int]) -> Sequence[Permit]:
        first = grant.first_at + self._ahead
        late = budget.LATE_SECONDS if self.limits.binding and not grant.probe else inf
        moments = [first + number * grant.spacing for number in range(grant.calls)]
        at_once = [Permit(place, moment, moment + late) for place, moment in zip(places, moments, strict=False)]
        in_turn = [Permit(None, moment, moment + PATIENCE_SECONDS) for moment in moments[len(places) :]]
        return [*at_once, *in_turn]

    def _after(self, locked: gate.LockedGate, news: News) -> Gate:
        """The gate once the news are known."""
        endings = [Ending(_is_silent(one.outcome), one.change) for one in news.ended]
        known = budget.heard(locked.gate, self.limits, endings, locked.now)
        if budget.is_away(locked.gate) or budget.is_away(known):
            self._away_at = datetime.now(UTC)
        for excess in filter(None, (_excess(one.outcome) for one in news.ended)):
            known = budget.throttled(known, self.limits, locked.now, excess.retry_after)
        return known


def is_abandoned(outcome: object) -> bool:
    """Whether we waited for the call no longer, so that the carrier may be at it still."""
    return isinstance(outcome, Unreachable | Unconfirmed) and outcome.abandoned


def means_trouble(outcome: object) -> bool:
    """Whether a call ended in a way after which the account may have to wait."""
    return _is_silent(outcome) or _excess(outcome) is not None


def _nearest(known: float, least: float, most: float) -> float:
    """What is known of a difference between clocks once it was seen to lie between `least` and `most`.

    A glance that took long tells little, and takes nothing from what a quick one told: moments that were put off by the
    time that each answer took would crowd one another. A clock that was set is seen by the first quick glance.
    """
    return min(max(known, least), most)


def _excess(outcome: object) -> Unreachable | Unconfirmed | None:
    """The outcome, where it says that the account is to call less or later."""
    match outcome:
        case Unreachable(throttled=True):
            return outcome
        case Unreachable() | Unconfirmed() if outcome.answer.http_status in GATE_CLOSED:
            return outcome
        case _:
            return None


def _is_silent(outcome: object) -> bool:
    """Whether a call ended without a believable answer: a refusal at the limit is one, a gateway's page is none."""
    return isinstance(outcome, Unconfirmed) or (isinstance(outcome, Unreachable) and not outcome.throttled)
