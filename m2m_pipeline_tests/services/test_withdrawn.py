"""Trouble withdraws the permits that were granted before it: no call leaves into a rest or an outage."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager

import pytest

from m2m_pipeline.domain.budget.breaker import SILENT_IN_A_ROW
from m2m_pipeline.domain.budget.gate import Limits
from m2m_pipeline.domain.outcome import Answer, Unconfirmed, Unreachable
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.services.departing import WithdrawnError, in_time
from m2m_pipeline.services.gatekeeper import Permit
from m2m_pipeline.services.pacing import Pacer
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline.storage import gate
from m2m_pipeline.storage.database import Database
from m2m_pipeline_tests.invariants import check_all
from m2m_pipeline_tests.local.waiting import wait_until
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import Options

ACCOUNT = "an account"
LIMITS = Limits(calls_per_second=40, in_flight=20)
LOST = Unconfirmed(Answer(message="reset"))
REST = 0.4
ON_THEIR_WAY = 5
"""Calls that leave while the refusal is on its way to us, and from us to the account: 50 ms of 100 calls/s."""


def over(retry_after: float) -> Unreachable:
    """The carrier's word that the account is over its limit."""
    return Unreachable(Answer(429), ReasonCode.CARRIER_RATE_LIMITED, throttled=True, retry_after=retry_after)


@asynccontextmanager
async def opened(database: Database) -> AsyncGenerator[Pacer]:
    """A holder of permits; afterwards it has none."""
    pacer = Pacer(database, ACCOUNT, LIMITS)
    try:
        yield pacer
    finally:
        await pacer.close()


@pytest.fixture
def database(database_url: str) -> Generator[Database]:
    database = Database(database_url)
    yield database
    with database.begin() as tx:
        assert gate.lock(tx, ACCOUNT).in_flight == 0, "no place is lost"
    database.dispose()


async def taken(pacer: Pacer, number: int) -> Sequence[Permit]:
    """So many permits."""
    permits: list[Permit] = []
    while len(permits) < number:
        permits.extend(await pacer.permits(number - len(permits)))
    return permits


async def told(database: Database) -> None:
    """Wait until the account has heard of trouble."""

    def known() -> bool:
        with database.begin() as tx:
            found = gate.read(tx, ACCOUNT)
        return found is not None and (found.gate.pace is not None or found.gate.probe_at is not None)

    await asyncio.to_thread(wait_until, known, "the account has heard of it")


@pytest.mark.parametrize("outcome", [over(retry_after=60), LOST], ids=["over the limit", "silent"])
def test_permits_that_are_out_are_worth_nothing_once_the_account_is_in_trouble(
    database: Database, outcome: object
) -> None:
    async def play() -> None:
        async with opened(database) as pacer:
            ended = await taken(pacer, SILENT_IN_A_ROW)
            ahead = await taken(pacer, 2)
            for permit in ended:
                pacer.end(permit, outcome, change=True)
            await told(database)
            for permit in ahead:
                with pytest.raises(WithdrawnError):
                    await in_time(pacer, permit)

    asyncio.run(play())


def test_another_process_finds_its_permits_withdrawn_when_it_asks_for_the_next(database: Database) -> None:
    async def play() -> None:
        async with opened(database) as one, opened(database) as other:
            (ours,), (theirs,) = await one.permits(1), await other.permits(1)
            one.end(ours, over(REST))
            await told(database)
            (next_of_theirs,) = await other.permits(1)
            with pytest.raises(WithdrawnError):
                await in_time(other, theirs)
            await in_time(other, next_of_theirs)

    asyncio.run(play())


def test_while_the_account_rests_no_call_leaves_but_those_that_were_on_their_way(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=60, calls_per_second=100, in_flight=20))
    world.control.set_latency(30, 60)
    world.trouble(Rule(name="rate_limited", methods=frozenset({"PUT"}), calls=1, skip_calls=20, retry_after_s=2))
    _, evidence = world.submit_and_run(batch_size=60)

    (refused,) = [call for call in evidence.calls if call.error_code == "40000029"]
    assert refused.end is not None
    in_the_rest = [call for call in evidence.calls if refused.end < call.start < refused.end + 1.9]
    assert len(in_the_rest) <= ON_THEIR_WAY
    assert {(row.status, row.attempts) for row in evidence.rows} == {("PROCESSED", 1)}
    check_all(evidence)
