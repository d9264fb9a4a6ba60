"""What really happened at the carrier: every call and every effective change, kept until a reset.

Written for 300,000 calls in memory: slots, shared strings, and a route in place of each call's own path.
"""

import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from m2m_pipeline.simulator.documents import LedgerCall, LedgerChange, LedgerSummary
from m2m_pipeline.simulator.replies import Reply

WINDOW_S = 1.0
"""The carrier's limits are per second; a window holds the calls that started less than this before its end."""


@dataclass(slots=True)
class Call:
    """One call; its last four fields are filled in when it ends."""

    n: int
    start: float
    wall: float
    method: str
    route: str
    """The path, with {iccid} in place of the device's ICCID."""
    query: str
    iccid: str | None
    account: str
    in_flight: int
    scenario: str | None = None
    end: float | None = None
    status: int | None = None
    error_code: str | None = None
    retry_after: bool = False

    def document(self) -> LedgerCall:
        """The call as the ledger shows it."""
        return LedgerCall(
            n=self.n,
            start=self.start,
            end=self.end,
            wall=self.wall,
            method=self.method,
            path=self.route.replace("{iccid}", self.iccid or ""),
            query=self.query,
            iccid=self.iccid,
            account=self.account or None,
            status=self.status,
            error_code=self.error_code,
            retry_after=self.retry_after,
            scenario=self.scenario,
            in_flight=self.in_flight,
        )


@dataclass(frozen=True, slots=True)
class Change:
    """One effective change of a device's plans."""

    call: int | None
    iccid: str
    from_plan: str
    to_plan: str
    from_comm: str
    to_comm: str
    at_ms: int

    def document(self, n: int) -> LedgerChange:
        """The change as the ledger shows it."""
        return LedgerChange(
            n=n,
            call=self.call,
            iccid=self.iccid,
            from_plan=self.from_plan,
            to_plan=self.to_plan,
            from_comm=self.from_comm,
            to_comm=self.to_comm,
            at=self.at_ms / 1000,
        )


@dataclass(slots=True)
class _Traffic:
    """Running maxima of one account: a summary of 300,000 calls must not hold up the carrier's own."""

    recent: deque[float]
    most_recent: int = 0
    in_flight: int = 0
    most_in_flight: int = 0


class Ledger:
    """Appended to while the simulator serves; a reset puts a new ledger in its place."""

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._changes: list[Change] = []
        self._by_method: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._traffic: defaultdict[str, _Traffic] = defaultdict(lambda: _Traffic(deque()))

    def open(self, method: str, route: str, query: str, iccid: str | None, account: str) -> Call:
        """Record the arrival of a call; `account` is "" when its user is not known."""
        start = time.monotonic()
        traffic = self._traffic[account]
        traffic.in_flight += 1
        traffic.most_in_flight = max(traffic.most_in_flight, traffic.in_flight)
        forget_before(traffic.recent, start)
        traffic.recent.append(start)
        traffic.most_recent = max(traffic.most_recent, len(traffic.recent))
        n = len(self._calls) + 1
        call = Call(n, start, time.time(), method, route, query, iccid, account, traffic.in_flight)
        self._calls.append(call)
        return call

    def close(self, call: Call, sent: Reply | None) -> None:
        """Record the end of a call: what was answered, or None if no status line was sent."""
        call.end = time.monotonic()
        if sent:
            call.status = sent.status
            call.error_code = sent.error_code
            call.retry_after = any(name == "Retry-After" for name, _ in sent.headers)
        self._traffic[call.account].in_flight -= 1
        self._by_method[call.method][str(call.status or "none")] += 1

    def record_change(self, change: Change) -> None:
        """Record a change that has just taken effect."""
        self._changes.append(change)

    def calls(self, after: int, limit: int) -> Iterator[LedgerCall]:
        """The calls numbered after + 1 and up, at most `limit` of them."""
        return (call.document() for call in islice(self._calls, after, after + limit))

    def changes(self, after: int, limit: int) -> Iterator[LedgerChange]:
        """The changes numbered after + 1 and up, at most `limit` of them."""
        changes = islice(self._changes, after, after + limit)
        return (change.document(n) for n, change in enumerate(changes, after + 1))

    def summary(self) -> LedgerSummary:
        """Counts and maxima; open calls are not in by_method."""
        per_device = Counter(change.iccid for change in self._changes)
        return LedgerSummary(
            calls=len(self._calls),
            changes=len(self._changes),
            open_calls=sum(traffic.in_flight for traffic in self._traffic.values()),
            by_method={method: dict(counts) for method, counts in self._by_method.items()},
            max_calls_in_a_second={name: traffic.most_recent for name, traffic in self._traffic.items()},
            max_in_flight={name: traffic.most_in_flight for name, traffic in self._traffic.items()},
            changed_more_than_once={iccid: count for iccid, count in per_device.items() if count > 1},
        )


def forget_before(starts: deque[float], now: float) -> None:
    """Drop from the left what has left the sliding window that ends now."""
    while starts and starts[0] <= now - WINDOW_S:
        starts.popleft()
