"""Who waits for permits gets them in order of asking, or hears why there are none."""

import asyncio

import pytest

from m2m_pipeline.domain.budget.gate import Limits
from m2m_pipeline.services.demands import Demands
from m2m_pipeline.services.gatekeeper import Permit
from m2m_pipeline.services.pacing import Pacer
from m2m_pipeline.services.places import Places
from m2m_pipeline.storage.database import Database

PERMITS = [Permit(place, 0.0, 1.0, 0.0) for place in range(5)]


def test_permits_go_to_who_asked_first_and_past_who_has_gone() -> None:
    async def play() -> None:
        demands = Demands()
        gone, first, second = (demands.add(2, probe=False) for _ in range(3))
        gone.cancel()
        assert demands.hand_out(PERMITS, to_probes=False) == PERMITS[4:]
        assert (await first, await second) == (PERMITS[:2], PERMITS[2:4])
        assert not demands

    asyncio.run(play())


def test_a_probe_is_for_a_read() -> None:
    async def play() -> None:
        demands = Demands()
        change, read = demands.add(1, probe=False), demands.add(1, probe=True)
        assert not demands.hand_out(PERMITS[:1], to_probes=True)
        assert await read == PERMITS[:1]
        assert not change.done()
        assert (demands.calls, demands.probe) == (1, False)

    asyncio.run(play())


def test_who_waits_hears_of_a_fault_of_ours(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a run waits for ever, for what nobody asks for."""

    async def fails(_: Places, __: int) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Places, "promises_at_most", fails)
    database = Database(database_url)

    async def play() -> None:
        pacer = Pacer(database, "an account", Limits(40, 20))
        async with asyncio.timeout(30):
            with pytest.raises(ZeroDivisionError):
                await pacer.permits(1)
        await pacer.close()

    asyncio.run(play())
    database.dispose()
