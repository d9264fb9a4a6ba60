"""How often an account is asked: each question holds up everybody else who asks, and the calls that are due here."""

import asyncio
from contextlib import suppress

from m2m_pipeline.domain.budget.gate import Limits
from m2m_pipeline.services.departing import MissedError, in_time
from m2m_pipeline.services.gatekeeper import Permit
from m2m_pipeline.services.pacing import Pacer
from m2m_pipeline.storage.database import Database
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import Options

LIMITS = Limits(calls_per_second=200, in_flight=400)
TURNS = 12
CALLS = 20 * TURNS

_COUNT_THE_TRANSACTIONS = """
CREATE SEQUENCE public.transactions;
CREATE FUNCTION public.count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM nextval('public.transactions');
    RETURN NULL;
END $$;
CREATE TRIGGER count AFTER UPDATE ON m2m.carrier_gate FOR EACH STATEMENT EXECUTE FUNCTION public.count();
"""


def test_who_has_an_account_to_itself_asks_once_for_each_turn_and_tells_the_ends_of_calls_with_that(
    make_world: MakeWorld,
) -> None:
    world = make_world(Options(devices=1))
    world.sql(_COUNT_THE_TRANSACTIONS)
    database = Database(world.database_url)

    async def call(pacer: Pacer, permit: Permit) -> None:
        with suppress(MissedError):  # which gives it back
            pacer.end(await in_time(pacer, permit), None)

    async def play() -> int:
        """The transactions until all is granted; the last calls are told of on their own then."""
        pacer, left = Pacer(database, "an account", LIMITS), CALLS
        async with asyncio.TaskGroup() as calls:
            while left:
                permits = await pacer.permits(left)
                left -= len(permits)
                for permit in permits:
                    calls.create_task(call(pacer, permit))
            ((transactions,),) = await asyncio.to_thread(world.sql, "SELECT last_value FROM public.transactions")
        await pacer.close()
        return int(str(transactions))

    transactions = asyncio.run(play())
    database.dispose()

    assert TURNS <= transactions <= 1.5 * TURNS
