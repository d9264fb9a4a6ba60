"""Asks an account's gate for permits and tells it what became of the calls, in a transaction each: for threads.

A transaction that counts something (permits, or the ends of calls) leaves a mark, so that it is not said again where
only the answer to its commit was lost.
"""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from math import inf

from sqlalchemy import Connection

from m2m_pipeline.domain.budget.adaptation import throttled, withdrawn_before
from m2m_pipeline.domain.budget.breaker import Ending, heard, is_away
from m2m_pipeline.domain.budget.gate import Gate, Limits
from m2m_pipeline.domain.budget.turns import LATE_SECONDS, Asking, Grant, Wait, ask, ask_ahead, calls_of_a_turn
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
    granted_at: float  # by the database's clock; no trouble after it concerns a probe: inf


@dataclass(frozen=True, slots=True)
class Permits:
    """What was granted at once. `kept`: the places of which the account was told again, since calls follow in them.

    `then`: how long the next turn has to be waited for, where that is known already; it need not be asked for sooner.
    """

    permits: Sequence[Permit]
    probe: bool
    kept: Sequence[int]
    then: Wait | None


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call has ended that left at a moment of the event loop's clock. `change`: it was no read."""

    outcome: object
    change: bool
    left_at: float


@dataclass(frozen=True, slots=True)
class News:
    """What the account has not heard yet: the places that are free, and how calls have ended."""

    free: Sequence[int]
    ended: Sequence[Ended]


@dataclass
class Gatekeeper:
    """One holder of permits at the gate of one account. `weight`: as in `Asking`.

    `limits`: as they were configured when its connections were opened; they hold no more calls in flight than those.
    Whatever is configured of the account meanwhile, by any of its providers, holds from the next transaction on.
    """

    database: Database
    account: str
    limits: Limits
    weight: int = 1
    _holder: str = field(default_factory=lambda: secrets.token_hex(8))
    _ahead: float = inf  # the event loop's clock to the database's: what is known of it best
    _away_at: datetime | None = None  # when the carrier was known to be away last
    _withdrawn_before: float = -inf  # permits that were granted before are worth nothing; by the database's clock
    turn: int = field(init=False)  # how many calls the account gives at once, as far as was asked or told here

    def __post_init__(self) -> None:
        self._connections = self.limits.in_flight
        self.turn = calls_of_a_turn(Gate(), self.limits, 0.0)

    @retrying_transient
    def ask(
        self, calls: int, *, more: int = 0, probe: bool, held: int, stale: Sequence[int], news: News
    ) -> Permits | Wait:
        """Up to `calls` permits for a holder of `held` places, the `stale` of which the account is to hear of again.

        `more`: calls that are to follow those; for their turn is asked as well.
        """
        with self.database.marked() as (tx, mark):
            known = self._lock(tx, news)
            asking = Asking(self._holder, calls, probe, held, self.weight)
            decided, answer = ask(known.gate, self.limits, asking, known.in_flight, known.now)
            if isinstance(answer, Wait):
                gate.store(tx, self.account, decided, mark=mark if news.ended else None)
                return answer
            kept = stale if answer.calls > answer.places else ()
            if kept:
                gate.keep(tx, kept, known.now)
            further = replace(asking, calls=more)
            decided, then = ask_ahead(decided, self.limits, further, answer, known.in_flight, now=known.now)
            places = gate.store(tx, self.account, decided, self._holder, answer, mark=mark)
        return Permits(self._permits(answer, places, known.now), answer.probe, kept, then)

    @retrying_transient
    def tell(self, news: News) -> None:
        """The news alone."""
        with self.database.marked() as (tx, mark):
            gate.store(tx, self.account, self._lock(tx, news).gate, mark=mark if news.ended else None)

    def is_withdrawn(self, permit: Permit) -> bool:
        """Whether the account got into trouble after it granted the permit, as far as was asked or told here."""
        return permit.granted_at < self._withdrawn_before

    def was_away_since(self, moment: datetime) -> bool:
        """Whether the account has been silent at some time since a moment, as far as was asked or told here."""
        return self._away_at is not None and self._away_at >= moment

    def _permits(self, grant: Grant, places: Sequence[int], now: float) -> Sequence[Permit]:
        first = grant.first_at + self._ahead
        late = LATE_SECONDS if self.limits.binding and not grant.probe else inf
        granted_at = inf if grant.probe else now
        moments = [first + number * grant.spacing for number in range(grant.calls)]
        at_once = [Permit(one, moment, moment + late, granted_at) for one, moment in zip(places, moments, strict=False)]
        in_turn = [Permit(None, moment, moment + PATIENCE_SECONDS, granted_at) for moment in moments[len(places) :]]
        return [*at_once, *in_turn]

    def _lock(self, tx: Connection, news: News) -> gate.LockedGate:
        """The account's gate, locked, as it is once the news are known; what follows from it is noted here."""
        before = time.monotonic()
        locked = gate.lock(tx, self.account, news.free)
        self._ahead = _nearest(self._ahead, before - locked.now, time.monotonic() - locked.now)
        if locked.limits:
            self.limits = replace(
                self.limits,
                calls_per_second=locked.limits.calls_per_second,
                in_flight=min(self._connections, locked.limits.in_flight),
            )
        known = self._after(locked, news)
        if is_away(locked.gate) or is_away(known):
            self._away_at = datetime.now(UTC)
        self._withdrawn_before = max(self._withdrawn_before, withdrawn_before(known, locked.now))
        self.turn = calls_of_a_turn(known, self.limits, locked.now)
        return replace(locked, gate=known)

    def _after(self, locked: gate.LockedGate, news: News) -> Gate:
        """The gate once the news are known."""
        endings = [Ending(_is_silent(one.outcome), one.change) for one in news.ended]
        known = heard(locked.gate, self.limits, endings, locked.now)
        for one in news.ended:
            if excess := _excess(one.outcome):
                left_at = one.left_at - self._ahead
                known = throttled(known, self.limits, left_at, locked.now, excess.retry_after)
        return known


def is_abandoned(outcome: object) -> bool:
    """Whether we waited for the call no longer, so that the carrier may be at it still."""
    return isinstance(outcome, Unreachable | Unconfirmed) and outcome.abandoned


def means_trouble(outcome: object) -> bool:
    """Whether a call ended in a way after which the account may have to wait."""
    return _is_silent(outcome) or means_excess(outcome)


def means_excess(outcome: object) -> bool:
    """Whether a call ended in a way after which the account has to wait."""
    return _excess(outcome) is not None


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
