"""The Jasper adapter: what it sends, and what it takes for an answer."""

import asyncio
import json
import logging
from base64 import b64encode
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import TypeVar

import pytest

from m2m_pipeline.carriers.http import Timeouts
from m2m_pipeline.carriers.jasper.adapter import JasperCarrier
from m2m_pipeline.domain.accounts import Credential
from m2m_pipeline.domain.carrier import DevicePage, DeviceReading, PlanChange, RatePlanPage
from m2m_pipeline.domain.outcome import Answer, Applied, ChangeOutcome, Refused, Unconfirmed, Unreachable
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline_tests.carriers.wire import Reply, Request, Wire, answers, reset, silence

ICCID = "8901240312345678901"
OTHER = "8901240312345678902"
KEY = "5ecret-api-key"
CHANGE = PlanChange(ICCID, "Plan B")
MISSING = {"errorMessage": "Resource not found - Invalid ICCID", "errorCode": "20000001"}
Result = TypeVar("Result")


def _with_carrier(use: Callable[[JasperCarrier], Awaitable[Result]], *replies: Reply) -> tuple[Result, list[Request]]:
    async def run() -> tuple[Result, list[Request]]:
        async with Wire(*replies) as wire:
            carrier = JasperCarrier(wire.url, Credential("anna", KEY), 2, Timeouts(0.5, 0.3, 1.0))
            try:
                return await use(carrier), wire.requests
            finally:
                await carrier.close()

    return asyncio.run(run())


def _change(reply: Reply, change: PlanChange = CHANGE) -> tuple[ChangeOutcome, Request]:
    outcome, (request,) = _with_carrier(lambda carrier: carrier.change_plan(change), reply)
    return outcome, request


def test_a_change_puts_the_plan_alone() -> None:
    _, request = _change(answers(200, {"iccid": ICCID}))

    assert (request.method, request.target) == ("PUT", f"/rws/api/v1/devices/{ICCID}")
    assert json.loads(request.body) == {"ratePlan": "Plan B"}
    assert request.headers["authorization"] == f"Basic {b64encode(f'anna:{KEY}'.encode()).decode()}"


def test_a_change_puts_communication_plan_and_zoned_effective_date() -> None:
    change = PlanChange(ICCID, "Plan Ü", "Comm", date(2026, 12, 1))
    _, request = _change(answers(200, {"iccid": ICCID}), change)

    assert json.loads(request.body) == {
        "ratePlan": "Plan Ü",
        "communicationPlan": "Comm",
        "effectiveDate": "2026-12-01Z",
    }


@pytest.mark.parametrize(("status", "pending"), [(200, False), (201, False), (202, True)])
def test_a_2xx_that_names_the_iccid_is_applied(status: int, pending: bool) -> None:
    outcome, _ = _change(answers(status, {"iccid": ICCID, "errorCode": None}))

    assert outcome == Applied(Answer(status), pending=pending)


@pytest.mark.parametrize("status", [200, 202])
@pytest.mark.parametrize("body", [{}, {"iccid": ""}, {"iccid": " "}, {"iccid": None}, {"iccid": OTHER}])
def test_a_2xx_that_does_not_name_the_iccid_leaves_the_outcome_open(body: dict[str, str | None], status: int) -> None:
    outcome, _ = _change(answers(status, body))

    assert outcome == Unconfirmed(Answer(status, None, "a success that does not name this ICCID"))


def test_a_2xx_that_names_the_iccid_and_an_error_is_no_success() -> None:
    outcome, _ = _change(answers(200, {"iccid": ICCID, "errorCode": "10000013"}))

    assert isinstance(outcome, Refused)
    assert outcome.reason is ReasonCode.CARRIER_RATE_PLAN_REFUSED


@pytest.mark.parametrize("fate", [reset, silence, answers(502, b"<html>"), answers(302, Location="/login")])
def test_a_change_without_a_believable_answer_is_open_and_not_repeated(fate: Reply) -> None:
    outcome, _ = _change(fate)

    assert isinstance(outcome, Unconfirmed)


def test_an_iccid_cannot_lead_to_another_path() -> None:
    _, request = _change(answers(404), PlanChange("89/../../echo?x=1", "Plan B"))

    assert request.target == "/rws/api/v1/devices/89%2F..%2F..%2Fecho%3Fx=1"


def test_access_is_checked_by_one_echo() -> None:
    failure, (request,) = _with_carrier(JasperCarrier.check_access, answers(200, {"context": "m2m-pipeline"}))

    assert failure is None
    assert (request.method, request.target) == ("GET", "/rws/api/v1/echo/m2m-pipeline")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (answers(401, {"errorCode": "10000001"}), ReasonCode.CARRIER_SIGN_IN_REFUSED),
        (answers(400, {"errorCode": "10000030"}), ReasonCode.CARRIER_ROLE_REFUSED),
        (answers(429), ReasonCode.CARRIER_RATE_LIMITED),
        (answers(200, b"<html>The console's sign-in page</html>"), ReasonCode.CARRIER_UNREACHABLE),
        (answers(404, b"<html>Not found</html>"), ReasonCode.CARRIER_UNREACHABLE),
        (answers(302, Location="/login"), ReasonCode.CARRIER_UNREACHABLE),
        (reset, ReasonCode.CARRIER_UNREACHABLE),
    ],
)
def test_access_is_refused_with_its_reason(reply: Reply, reason: ReasonCode) -> None:
    failure, _ = _with_carrier(JasperCarrier.check_access, reply)

    assert failure is not None
    assert failure.reason is reason


def test_a_device_is_read_with_what_an_inventory_needs() -> None:
    device = {
        "iccid": ICCID,
        "imsi": "310410123456789",
        "msisdn": 18005550100,
        "status": "ACTIVATED",
        "ratePlan": "Plan A",
        "communicationPlan": "Comm",
        "customer": None,
        "dateActivated": "2016-06-29 00:21:33.339+0000",
    }
    reading, (request,) = _with_carrier(lambda carrier: carrier.read_device(ICCID), answers(200, device))

    assert reading == DeviceReading(ICCID, "Plan A", "Comm", "ACTIVATED", "18005550100", "310410123456789")
    assert (request.method, request.target) == ("GET", f"/rws/api/v1/devices/{ICCID}")


@pytest.mark.parametrize(
    "body",
    [
        {"iccid": OTHER, "ratePlan": "Plan A"},
        {"ratePlan": "Plan A"},
        {"iccid": ICCID},
        {"iccid": ICCID, "ratePlan": ["Plan A"]},
        [],
    ],
)
def test_an_answer_that_does_not_show_this_devices_plan_is_no_reading(body: object) -> None:
    reading, _ = _with_carrier(lambda carrier: carrier.read_device(ICCID), answers(200, body))

    assert isinstance(reading, Unreachable)
    assert reading.reason is ReasonCode.CARRIER_UNREACHABLE


@pytest.mark.parametrize("reply", [reset, silence, answers(500, {"errorCode": "30000001"}), answers(503, b"<html>")])
def test_a_failed_read_is_unreachable(reply: Reply) -> None:
    reading, _ = _with_carrier(lambda carrier: carrier.read_device(ICCID), reply)

    assert isinstance(reading, Unreachable)
    assert not reading.throttled


def test_an_unknown_device_is_refused() -> None:
    reading, _ = _with_carrier(lambda carrier: carrier.read_device(ICCID), answers(404, MISSING))

    assert isinstance(reading, Refused)
    assert reading.reason is ReasonCode.CARRIER_DEVICE_UNKNOWN


def test_devices_are_listed_in_pages_since_a_moment_in_utc() -> None:
    page = {
        "pageNumber": 2,
        "devices": [{"iccid": ICCID, "ratePlan": None, "status": "RETIRED"}],
        "lastPage": True,
    }
    since = datetime(2026, 11, 24, 12, 0, 1, 999_999, timezone(timedelta(hours=2)))
    listed, (request,) = _with_carrier(lambda carrier: carrier.list_devices(since, 2), answers(200, page))

    assert listed == DevicePage([DeviceReading(ICCID, None, None, "RETIRED")], last=True)
    path, query = request.target.split("?")
    assert path == "/rws/api/v1/devices"
    assert query.replace("%3A", ":").split("&") == [
        "modifiedSince=2026-11-24T10:00:01Z",
        "pageSize=50",
        "pageNumber=2",
    ]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"devices": []},
        {"lastPage": True},
        {"devices": None, "lastPage": True},
        {"devices": [{"iccid": ICCID, "ratePlan": "A"}, {"ratePlan": "B"}], "lastPage": True},
        {"devices": [{"iccid": "", "ratePlan": "A"}], "lastPage": False},
        {"errorCode": "19999999", "devices": [], "lastPage": True},
    ],
)
def test_a_malformed_page_is_a_failure_and_never_an_empty_list(body: object) -> None:
    since = datetime(2026, 11, 24, tzinfo=UTC)
    listed, _ = _with_carrier(lambda carrier: carrier.list_devices(since, 1), answers(200, body))

    assert isinstance(listed, Unreachable)


def test_rate_plans_are_listed_by_name() -> None:
    page = {
        "operatorName": "X",
        "ratePlans": [{"name": "A", "type": "MONTHLY"}, {"name": "B"}],
        "lastPage": False,
    }
    listed, (request,) = _with_carrier(lambda carrier: carrier.list_rate_plans(3), answers(200, page))

    assert listed == RatePlanPage(["A", "B"], last=False)
    assert request.target == "/rws/api/v1/rateplans?pageSize=50&pageNumber=3"


def test_a_role_that_may_not_list_rate_plans_is_told_so() -> None:
    refusal = answers(400, {"errorCode": "10000030", "errorMessage": "No access."})
    listed, _ = _with_carrier(lambda carrier: carrier.list_rate_plans(1), refusal)

    assert isinstance(listed, Refused)
    assert listed.reason is ReasonCode.CARRIER_ROLE_REFUSED


def test_the_api_key_shows_in_no_log_representation_or_outcome(caplog: pytest.LogCaptureFixture) -> None:
    token = b64encode(f"anna:{KEY}".encode()).decode()
    echo = {"errorCode": "10000001", "errorMessage": f"key {KEY}, header Basic {token}"}
    replies = [answers(401, echo), answers(200, b"\x00"), answers(500, {"errorMessage": token}), reset]

    async def use(carrier: JasperCarrier) -> str:
        outcomes = [await carrier.change_plan(CHANGE) for _ in replies]
        await carrier.close()
        with pytest.raises(RuntimeError) as closed:
            await carrier.check_access()
        return f"{carrier!r} {vars(carrier)['_http']!r} {outcomes} {closed.value!r} {closed.getrepr()}"

    with caplog.at_level(logging.DEBUG):
        shown, _ = _with_carrier(use, *replies)

    assert KEY not in shown + caplog.text
    assert token not in shown + caplog.text
