"""From the carrier's own ledger: how a limit was used, and whether it was kept. Times are monotonic seconds."""

from collections.abc import Sequence

WINDOW_SECONDS = 1.0


def most_in_a_second(starts: Sequence[float]) -> int:
    """The most calls in any sliding second. The windows that begin at a call are enough: no other holds more.

    A window is half open: a call exactly a second after another is in the next one.
    """
    ordered = sorted(starts)
    most = end = 0
    for begin, start in enumerate(ordered):
        while end < len(ordered) and ordered[end] < start + WINDOW_SECONDS:
            end += 1
        most = max(most, end - begin)
    return most


def share_used(starts: Sequence[float], calls_per_second: float) -> float:
    """Which share of the calls that were allowed from the first to the last call was made; the last one not counted.

    n calls, evenly spaced at the limit, are 1.0: they make n - 1 intervals.
    """
    span = max(starts) - min(starts)
    return (len(starts) - 1) / (calls_per_second * span)


def slowest_share(starts_by_run: Sequence[Sequence[float]]) -> float:
    """While all runs called: the calls of the slowest, to an equal share of all calls (1.0: all advanced alike)."""
    began = max(min(starts) for starts in starts_by_run)
    ended = min(max(starts) for starts in starts_by_run)
    calls = [sum(began <= start <= ended for start in starts) for starts in starts_by_run]
    return min(calls) * len(calls) / sum(calls) if sum(calls) else 0.0
