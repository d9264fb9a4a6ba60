"""How a call leaves with its permit: made ready shortly before the permit's moment, and gone in time or not at all."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TypeVar

from m2m_pipeline.domain.carrier import Leave
from m2m_pipeline.services.gatekeeper import Permit
from m2m_pipeline.services.pacing import Pacer

HEAD_START_SECONDS = 0.15
"""So long before its permit's moment a call is made ready and takes its connection: time for a TLS handshake across an
ocean."""

Said = TypeVar("Said")


class StaysHereError(Exception):
    """The call may not leave with its permit, and has not left."""


class MissedError(StaysHereError):
    """The permit's moment is past: another permit is needed."""


class WithdrawnError(StaysHereError):
    """The account, or whoever wanted the call, has no use for it any more."""


def _at_any_time() -> bool:
    return True


async def call_in_time(
    pacer: Pacer,
    permit: Permit,
    call: Callable[[Leave], Coroutine[object, object, Said]],
    *,
    may_leave: Callable[[], bool] = _at_any_time,
    change: bool = False,
) -> Said:
    """One call, whose permit ends with what was said; with nobody's word where we wait for it no longer.

    `call` waits for the word that it is given before it leaves; `may_leave` is asked when it could.

    Raises:
        StaysHereError: it has not left, and the permit was given back.

    """
    departure = _Departure(pacer, permit, may_leave)
    try:
        if permit.place is None:  # there are as many connections as places: who has neither waits before both
            await departure.become_due()
        else:
            await _until(permit.moment - HEAD_START_SECONDS)
            async with pacer.making_ready:
                await asyncio.sleep(0)  # calls that are due go first: a turn's, made ready all at once, make them late
        said = await call(departure.leave)
    except StaysHereError:
        raise
    except BaseException:
        departure.give_up()
        raise
    pacer.end(departure.permit, said, change=change)
    return said


async def in_time(pacer: Pacer, permit: Permit) -> Permit:
    """Sleep until the permit's moment; the permit to call with, now, as its place is known then.

    Raises:
        MissedError: the moment is past, and the calls of others have theirs.
        WithdrawnError: the account has got into trouble meanwhile: it rests, or its breaker is open.

    The permit is given back then.

    """
    await _until(permit.moment)
    placed = await pacer.placed(permit)
    if pacer.is_withdrawn(placed):
        pacer.give_back(placed)
        raise WithdrawnError
    if placed.place is None or asyncio.get_running_loop().time() > placed.late_at:
        pacer.give_back(placed)
        raise MissedError
    return placed


@dataclass(slots=True)
class _Departure:
    """A call that has its connection, or waits for it, and the permit with which it leaves."""

    pacer: Pacer
    permit: Permit
    may_leave: Callable[[], bool]
    due: bool = False  # its moment has come
    left: bool = False

    async def become_due(self) -> None:
        """Wait for the permit's moment; what `in_time` raises, the call stays here for."""
        if not self.due:
            self.permit = await in_time(self.pacer, self.permit)
            self.due = True

    async def leave(self) -> None:
        """Be due, and go; or stay here."""
        await self.become_due()
        if not self.may_leave():
            self.pacer.give_back(self.permit)
            raise WithdrawnError
        self.left = True
        self.pacer.calls += 1

    def give_up(self) -> None:
        """Nobody waits for the call any more."""
        if self.left:
            self.pacer.abandon(self.permit)
        else:
            self.pacer.give_back(self.permit)


async def _until(moment: float) -> None:
    if (early := moment - asyncio.get_running_loop().time()) > 0:
        await asyncio.sleep(early)
