"""Who waits for permits in one process, in order of asking."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from m2m_pipeline.services.gatekeeper import Permit

Granted = asyncio.Future[Sequence[Permit]]


@dataclass(slots=True)
class _Demand:
    calls: int
    probe: bool
    granted: Granted


@dataclass
class Demands:
    """What is asked for and not answered yet. Who has gone meanwhile is passed over."""

    _waiting: deque[_Demand] = field(default_factory=deque[_Demand])

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def calls(self) -> int:
        """How many calls are asked for by all together."""
        return sum(demand.calls for demand in self._waiting)

    @property
    def probe(self) -> bool:
        """Whether anybody asks for calls that may find out whether the carrier is back."""
        return any(demand.probe for demand in self._waiting)

    def add(self, calls: int, *, probe: bool) -> Granted:
        """Ask for up to so many calls; what is granted will be there."""
        granted: Granted = asyncio.get_running_loop().create_future()
        self._waiting.append(_Demand(calls, probe, granted))
        return granted

    def hand_out(self, permits: Sequence[Permit], *, to_probes: bool) -> Sequence[Permit]:
        """Give permits to those who wait, or to the probes among them, the first first; the permits nobody wants."""
        for demand in [one for one in self._waiting if one.probe or not to_probes]:
            if not permits:
                break
            self._waiting.remove(demand)
            if not demand.granted.done():
                demand.granted.set_result(permits[: demand.calls])
                permits = permits[demand.calls :]
        return permits

    def refuse(self, error: Exception | None = None) -> None:
        """Everybody who waits gets no permit, or the error."""
        while self._waiting:
            granted = self._waiting.popleft().granted
            if granted.done():
                continue
            if error is None:
                granted.set_result([])
            else:
                granted.set_exception(error)
