"""When to come back: what a gate names is honoured as far as it makes sense."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from m2m_pipeline.carriers.http import DEFAULT_TIMEOUTS, MAX_RETRY_AFTER, CarrierHttp, Fate, HttpAnswer
from m2m_pipeline.carriers.jasper.adapter import JasperCarrier
from m2m_pipeline.domain.accounts import Credential
from m2m_pipeline.domain.outcome import Unreachable
from m2m_pipeline_tests.carriers.wire import Wire, answers


def _retry_after(header: str, **headers: str) -> float | None:
    async def call() -> Fate:
        async with Wire(answers(503, Retry_After=header, **headers)) as wire:
            http = CarrierHttp(wire.url, "Basic c2VjcmV0", 1, DEFAULT_TIMEOUTS)
            try:
                return await http.call("GET", "/")
            finally:
                await http.close()

    fate = asyncio.run(call())
    assert isinstance(fate, HttpAnswer)
    return fate.retry_after


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("17", 17.0),
        ("9" * 4000, MAX_RETRY_AFTER),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0.0),
        ("Sat, 01 Jan 0001 00:00:00 +2359", 0.0),
        ("301", MAX_RETRY_AFTER),
        ("-5", None),
        ("+5", None),
        ("5, 7", None),
        ("\xb2", None),
        ("Wed, 21 Oct 2015 07:28:00 +9999", None),
        ("1.5", None),
        ("soon", None),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_within_five_minutes_or_nothing(header: str, seconds: float | None) -> None:
    assert _retry_after(header) == seconds


def test_retry_after_as_a_date_is_counted_from_now() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=2), usegmt=True)

    assert 110 < (_retry_after(date) or 0) <= 120


@pytest.mark.parametrize("carriers_clock", [timedelta(hours=-1), timedelta(), timedelta(hours=1)])
def test_retry_after_as_a_date_is_counted_by_the_clock_that_named_it(carriers_clock: timedelta) -> None:
    now = datetime.now(UTC) + carriers_clock
    date, retry_after = (format_datetime(moment, usegmt=True) for moment in (now, now + timedelta(seconds=40)))

    assert _retry_after(retry_after, Date=date) == 40.0


def test_a_date_header_that_is_none_is_passed_over() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=2), usegmt=True)

    assert 110 < (_retry_after(date, Date="yesterday") or 0) <= 120


@pytest.mark.parametrize("status", [400, 429, 503])
@pytest.mark.parametrize("code", ["40000029", "30000001"])
def test_a_read_that_is_told_when_to_come_back_says_so(status: int, code: str) -> None:
    reply = answers(status, {"errorCode": code, "errorMessage": "Later."}, Retry_After="7")

    async def read() -> object:
        async with Wire(reply) as wire:
            carrier = JasperCarrier(wire.url, Credential("anna", "s3cret-key"), 1, DEFAULT_TIMEOUTS)
            try:
                return await carrier.read_device("8988216716970000001")
            finally:
                await carrier.close()

    reading = asyncio.run(read())

    assert isinstance(reading, Unreachable)
    told = code == "40000029" or status in {429, 503}
    assert (reading.throttled, reading.retry_after) == ((True, 7.0) if told else (False, None))
