"""What the engine relies on, whichever carrier it is: every adapter against a carrier on a real socket."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest

from m2m_pipeline.carriers.http import Timeouts
from m2m_pipeline.carriers.registry import build_carrier
from m2m_pipeline.domain.accounts import Credential
from m2m_pipeline.domain.carrier import (
    Carrier,
    DevicePage,
    DeviceReading,
    Leave,
    PlanChange,
    RatePlanPage,
)
from m2m_pipeline.domain.outcome import Applied, ChangeOutcome, Refused, Scope, Unconfirmed, Unreachable
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline_tests.carriers.contract import NEW_PLAN, OLD_PLAN, RETIRED_PLAN, Stand, Trouble
from m2m_pipeline_tests.carriers.jasper_stand import jasper_stand

STANDS: dict[str, Callable[[], AbstractContextManager[Stand]]] = {"jasper": jasper_stand}
TIMEOUTS = Timeouts(connect=1.0, read=0.5, total=5.0)
Result = TypeVar("Result")


@pytest.fixture(scope="module", params=STANDS.values(), ids=tuple(STANDS))
def started(request: pytest.FixtureRequest) -> Generator[Stand]:
    open_stand: Callable[[], AbstractContextManager[Stand]] = request.param
    with open_stand() as stand:
        yield stand


@pytest.fixture
def stand(started: Stand) -> Stand:
    started.begin()
    return started


def _ask(
    stand: Stand,
    question: Callable[[Carrier], Awaitable[Result]],
    *,
    base_url: str | None = None,
    credential: Credential | None = None,
) -> Result:
    async def run() -> Result:
        carrier = build_carrier(
            stand.integration_type, base_url or stand.base_url, credential or stand.credential, 2, TIMEOUTS
        )
        try:
            return await question(carrier)
        finally:
            await carrier.close()

    return asyncio.run(run())


def _change(stand: Stand, device: str | None = None, plan: str = NEW_PLAN) -> ChangeOutcome:
    return _ask(stand, lambda carrier: carrier.change_plan(PlanChange(device or stand.devices[0], plan)))


class NotNowError(Exception):
    """Says that a call stays here."""


Call = Callable[[Carrier, Stand, Leave], Awaitable[object]]
CALLS: dict[str, Call] = {
    "check access": lambda carrier, _, leave: carrier.check_access(leave),
    "change plan": lambda carrier, stand, leave: carrier.change_plan(PlanChange(stand.devices[0], NEW_PLAN), leave),
    "read device": lambda carrier, stand, leave: carrier.read_device(stand.devices[0], leave),
    "list devices": lambda carrier, _, leave: carrier.list_devices(datetime.now(UTC), 1, leave),
    "list rate plans": lambda carrier, _, leave: carrier.list_rate_plans(1, leave),
}
EVERY_CALL = pytest.mark.parametrize("call", CALLS.values(), ids=tuple(CALLS))


@EVERY_CALL
def test_a_call_waits_once_for_the_word_to_leave(stand: Stand, call: Call) -> None:
    calls_before: list[int] = []

    async def leave() -> None:
        calls_before.append(await asyncio.to_thread(stand.calls))

    _ask(stand, lambda carrier: call(carrier, stand, leave))

    assert calls_before == [0]
    assert stand.calls() == 1


@EVERY_CALL
def test_a_call_that_may_not_leave_stays_here(stand: Stand, call: Call) -> None:
    async def stay() -> None:
        raise NotNowError

    with pytest.raises(NotNowError):
        _ask(stand, lambda carrier: call(carrier, stand, stay))

    assert stand.calls() == 0


def test_the_account_is_let_in(stand: Stand) -> None:
    assert _ask(stand, lambda carrier: carrier.check_access()) is None
    assert stand.calls() == 1


def test_a_wrong_key_is_refused_for_the_account(stand: Stand) -> None:
    wrong = Credential(stand.credential.username, "wr0ng-key")
    failure = _ask(stand, lambda carrier: carrier.check_access(), credential=wrong)

    assert isinstance(failure, Refused)
    assert (failure.reason, failure.scope) == (ReasonCode.CARRIER_SIGN_IN_REFUSED, Scope.ACCOUNT)


def test_an_applied_change_is_one_call_and_is_read_back(stand: Stand) -> None:
    device = stand.devices[0]
    outcome = _change(stand)

    assert isinstance(outcome, Applied)
    assert not outcome.pending
    assert (stand.calls(), stand.plan_of(device)) == (1, NEW_PLAN)
    reading = _ask(stand, lambda carrier: carrier.read_device(device))
    assert isinstance(reading, DeviceReading)
    assert reading.shows(NEW_PLAN, None)


def test_an_accepted_change_says_that_it_is_pending(stand: Stand) -> None:
    stand.make(Trouble.ACCEPTED_NOT_YET_APPLIED)
    outcome = _change(stand)

    assert isinstance(outcome, Applied)
    assert outcome.pending
    assert stand.plan_of(stand.devices[0]) == OLD_PLAN


def test_an_unknown_device_is_refused_for_itself_alone(stand: Stand) -> None:
    outcome = _change(stand, stand.unknown_device)

    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.scope) == (ReasonCode.CARRIER_DEVICE_UNKNOWN, Scope.DEVICE)
    assert isinstance(_ask(stand, lambda carrier: carrier.read_device(stand.unknown_device)), Refused)


def test_an_unknown_plan_is_refused_for_the_whole_request(stand: Stand) -> None:
    outcome = _change(stand, plan=RETIRED_PLAN)

    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.scope) == (ReasonCode.CARRIER_RATE_PLAN_REFUSED, Scope.REQUEST)
    assert outcome.answer.carrier_code


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (Trouble.KEY_REVOKED, ReasonCode.CARRIER_SIGN_IN_REFUSED),
        (Trouble.ROLE_REFUSED, ReasonCode.CARRIER_ROLE_REFUSED),
    ],
)
def test_what_holds_for_every_call_is_refused_for_the_account(
    stand: Stand, trouble: Trouble, reason: ReasonCode
) -> None:
    stand.make(trouble)
    outcome = _change(stand)

    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.scope) == (reason, Scope.ACCOUNT)


@pytest.mark.parametrize(
    "trouble",
    [
        Trouble.APPLIED_THEN_RESET,
        Trouble.APPLIED_THEN_SILENCE,
        Trouble.APPLIED_THEN_SERVER_ERROR,
        Trouble.OVERSIZED,
        Trouble.GATEWAY_ERROR,
        Trouble.SUCCESS_FOR_ANOTHER_DEVICE,
    ],
)
def test_a_change_that_may_have_happened_is_unconfirmed_and_sent_once(stand: Stand, trouble: Trouble) -> None:
    stand.make(trouble)
    outcome = _change(stand)

    assert isinstance(outcome, Unconfirmed)
    assert outcome.abandoned is (trouble is Trouble.APPLIED_THEN_SILENCE)
    assert stand.calls() == 1


def test_a_change_that_met_nobody_is_unreachable(stand: Stand) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    change = PlanChange(stand.devices[0], NEW_PLAN)
    outcome = _ask(stand, lambda carrier: carrier.change_plan(change), base_url=f"http://127.0.0.1:{port}")

    assert isinstance(outcome, Unreachable)
    assert not outcome.throttled


def test_a_change_over_the_rate_limit_is_turned_away_and_not_applied(stand: Stand) -> None:
    stand.make(Trouble.RATE_LIMITED)
    outcome = _change(stand)

    assert isinstance(outcome, Unreachable)
    assert outcome.throttled
    assert stand.plan_of(stand.devices[0]) == OLD_PLAN


def test_the_pages_show_every_device_once(stand: Stand) -> None:
    async def all_pages(carrier: Carrier) -> list[DeviceReading]:
        since = datetime.now(UTC) - timedelta(days=364)
        found: list[DeviceReading] = []
        for number in range(1, len(stand.devices) + 2):
            page = await carrier.list_devices(since, number)
            assert isinstance(page, DevicePage)
            assert len(page.devices) <= carrier.capabilities.page_size
            found += page.devices
            if page.last:
                break
        return found

    found = _ask(stand, all_pages)

    assert sorted(reading.iccid for reading in found) == sorted(stand.devices)
    assert all(reading.shows(OLD_PLAN, None) for reading in found)


def test_a_change_shows_in_the_page_since_it_was_made(stand: Stand) -> None:
    since = datetime.now(UTC)
    _change(stand)
    page = _ask(stand, lambda carrier: carrier.list_devices(since, 1))

    assert isinstance(page, DevicePage)
    assert NEW_PLAN in {reading.rate_plan for reading in page.devices if reading.iccid == stand.devices[0]}


@pytest.mark.parametrize("trouble", [Trouble.GATEWAY_ERROR, Trouble.RATE_LIMITED, Trouble.OVERSIZED])
def test_a_read_that_fails_is_a_failure_and_never_an_empty_page(stand: Stand, trouble: Trouble) -> None:
    stand.make(trouble)
    since = datetime.now(UTC) - timedelta(days=364)

    assert isinstance(_ask(stand, lambda carrier: carrier.list_devices(since, 1)), Unreachable)
    assert isinstance(_ask(stand, lambda carrier: carrier.list_rate_plans(1)), Unreachable)
    assert isinstance(_ask(stand, lambda carrier: carrier.read_device(stand.devices[0])), Unreachable)
    assert isinstance(_ask(stand, lambda carrier: carrier.check_access()), Unreachable)
    assert stand.calls() == 4


def test_the_rate_plans_are_listed(stand: Stand) -> None:
    page = _ask(stand, lambda carrier: carrier.list_rate_plans(1))

    assert isinstance(page, RatePlanPage)
    assert set(page.names) == {OLD_PLAN, NEW_PLAN}
    assert page.last
