"""The account's gate over a wire that breaks at a commit: what was told and what was granted counts once."""

from collections.abc import Generator
from contextlib import contextmanager

import pytest
from sqlalchemy import make_url

from m2m_pipeline.domain.budget.gate import Limits
from m2m_pipeline.domain.outcome import Answer, Unconfirmed, Unreachable
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.services.gatekeeper import Ended, Gatekeeper, News, Permits
from m2m_pipeline.storage import gate
from m2m_pipeline.storage.database import Database
from m2m_pipeline.storage.gate import SeenGate
from m2m_pipeline_tests.faults.proxy import Fault, Harm, proxy_before

ACCOUNT = "an account"
LIMITS = Limits(calls_per_second=100, in_flight=10)
LOST = Ended(Unconfirmed(Answer(message="reset")), change=True, left_at=0.0)
OVER = Ended(Unreachable(Answer(429), ReasonCode.CARRIER_RATE_LIMITED, throttled=True), change=True, left_at=0.0)
HARMS = pytest.mark.parametrize("harm", [Harm.LOSE_ANSWER, Harm.CUT_BEFORE], ids=lambda harm: harm.name)


@contextmanager
def keeper_whose_wire_breaks(database_url: str, harm: Harm) -> Generator[Gatekeeper]:
    """Its first commit meets the harm."""
    direct = make_url(database_url)
    with proxy_before(str(direct.host), int(direct.port or 0)) as proxy:
        proxy.fault = fault = Fault(harm, b"COMMIT", after=b"UPDATE m2m.carrier_gate")
        database = Database(direct.set(port=proxy.port).render_as_string(hide_password=False))
        try:
            yield Gatekeeper(database, ACCOUNT, LIMITS)
            assert fault.struck == 1
        finally:
            database.dispose()


def seen(database_url: str) -> SeenGate:
    """The account as somebody else sees it."""
    database = Database(database_url)
    with database.begin() as tx:
        found = gate.read(tx, ACCOUNT)
    database.dispose()
    assert found is not None
    return found


@HARMS
def test_the_end_of_a_call_counts_once_when_the_answer_to_its_commit_is_lost(database_url: str, harm: Harm) -> None:
    with keeper_whose_wire_breaks(database_url, harm) as keeper:
        keeper.tell(News([], [LOST, LOST, OVER, LOST]))

    after = seen(database_url).gate
    assert (after.lost, after.recent) == (1, (True, True, False, True))
    assert after.pace == pytest.approx(70)


@HARMS
def test_permits_whose_commit_is_not_answered_are_granted_once(database_url: str, harm: Harm) -> None:
    with keeper_whose_wire_breaks(database_url, harm) as keeper:
        answer = keeper.ask(3, probe=False, held=0, stale=(), news=News([], [LOST]))

    assert isinstance(answer, Permits)
    assert len(answer.permits) == 3
    after = seen(database_url)
    assert (after.in_flight, after.gate.lost) == (3, 1)
