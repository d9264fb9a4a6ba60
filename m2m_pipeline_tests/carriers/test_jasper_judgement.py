"""What an answer of Jasper means, code by code and form by form."""

import json

import pytest

from m2m_pipeline.carriers.http import HttpAnswer, LostAnswer, NotSent
from m2m_pipeline.carriers.jasper.codes import ERRORS, Open, Refusal
from m2m_pipeline.carriers.jasper.judgement import Judgement, Said, judged
from m2m_pipeline.domain.outcome import Answer, Refused, Scope, Unconfirmed, Unreachable
from m2m_pipeline.domain.reasons import ReasonCode

HTML = b"<!DOCTYPE html><html><head><title>Oops</title></head><body>Oops</body></html>"
UNKNOWN_CODE = "19999999"
STATUSES = (200, 202, 400, 404, 409, 429, 500, 503)


def _error(status: int, code: str | None, message: str = "No.", retry_after: float | None = None) -> HttpAnswer:
    return HttpAnswer(status, json.dumps({"errorMessage": message, "errorCode": code}).encode(), retry_after)


def _judged(answer: HttpAnswer) -> Judgement:
    return judged(answer, ())


def test_the_table_holds_every_code_that_is_known() -> None:
    documented = {
        *(f"100000{number:02}" for number in range(1, 33)),
        "10000049",
        "10030000",
        "20000001",
        "20000002",
        "30000001",
        "30000002",
        "40000029",
    }
    assert set(ERRORS) == documented


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("code", [code for code, row in ERRORS.items() if isinstance(row.verdict, Refusal)])
def test_a_refusing_code_refuses_whatever_the_http_status(code: str, status: int) -> None:
    outcome = _judged(_error(status, code))

    assert isinstance(outcome, Refused)
    assert Refusal(outcome.reason, outcome.scope) == ERRORS[code].verdict
    assert outcome.answer == Answer(status, code, "No.")


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("code", [c for c, row in ERRORS.items() if row.verdict is Open.OUTCOME_UNKNOWN])
def test_a_server_error_leaves_the_outcome_open_whatever_the_http_status(code: str, status: int) -> None:
    assert isinstance(_judged(_error(status, code)), Unconfirmed)


@pytest.mark.parametrize("status", [*STATUSES, 401, 403])
def test_the_rate_limit_code_throttles_whatever_the_http_status(status: int) -> None:
    outcome = _judged(_error(status, "40000029", retry_after=3.0))

    assert isinstance(outcome, Unreachable)
    assert (outcome.reason, outcome.throttled, outcome.retry_after) == (
        ReasonCode.CARRIER_RATE_LIMITED,
        True,
        3.0,
    )


@pytest.mark.parametrize(
    ("code", "reason", "scope"),
    [
        ("10000001", ReasonCode.CARRIER_SIGN_IN_REFUSED, Scope.ACCOUNT),
        ("10000013", ReasonCode.CARRIER_RATE_PLAN_REFUSED, Scope.REQUEST),
        ("10000014", ReasonCode.CARRIER_COMMUNICATION_PLAN_REFUSED, Scope.REQUEST),
        ("10000021", ReasonCode.CARRIER_DEVICE_UNKNOWN, Scope.DEVICE),
        ("10000023", ReasonCode.CARRIER_REQUEST_REFUSED, Scope.REQUEST),
        ("10000024", ReasonCode.CARRIER_REQUEST_REFUSED, Scope.ACCOUNT),
        ("10000028", ReasonCode.CARRIER_REQUEST_REFUSED, Scope.REQUEST),
        ("10000029", ReasonCode.CARRIER_REFUSED, Scope.DEVICE),
        ("10000030", ReasonCode.CARRIER_ROLE_REFUSED, Scope.ACCOUNT),
        ("20000001", ReasonCode.CARRIER_DEVICE_UNKNOWN, Scope.DEVICE),
    ],
)
def test_the_codes_that_steer_a_run(code: str, reason: ReasonCode, scope: Scope) -> None:
    assert ERRORS[code].verdict == Refusal(reason, scope)


def test_an_unknown_code_with_a_4xx_refuses_the_device_and_is_kept() -> None:
    answer = Answer(400, UNKNOWN_CODE, "No.")

    assert _judged(_error(400, UNKNOWN_CODE)) == Refused(answer, ReasonCode.CARRIER_REFUSED, Scope.DEVICE)


@pytest.mark.parametrize("status", [200, 202, 302, 500, 502, 503])
def test_an_unknown_code_with_any_other_status_leaves_the_outcome_open(status: int) -> None:
    assert _judged(_error(status, UNKNOWN_CODE)) == Unconfirmed(Answer(status, UNKNOWN_CODE, "No."))


@pytest.mark.parametrize("body", [b"", HTML, b'{"errorMessage": "Authorization header is missing."}'])
def test_a_401_refuses_the_sign_in_whatever_its_body(body: bytes) -> None:
    outcome = _judged(HttpAnswer(401, body))

    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.scope) == (ReasonCode.CARRIER_SIGN_IN_REFUSED, Scope.ACCOUNT)


@pytest.mark.parametrize("body", [HTML, b"", b"[]", b'{"message": "no route"}', b'{"iccid": "8901"}'])
def test_a_404_in_any_form_but_the_carriers_says_nothing_about_the_device(body: bytes) -> None:
    outcome = _judged(HttpAnswer(404, body))

    assert isinstance(outcome, Unreachable)
    assert (outcome.reason, outcome.throttled) == (ReasonCode.CARRIER_UNREACHABLE, False)
    assert "base URL" in outcome.answer.message


def test_a_firewalls_403_stops_the_account() -> None:
    outcome = _judged(HttpAnswer(403, HTML))

    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.scope) == (ReasonCode.CARRIER_SIGN_IN_REFUSED, Scope.ACCOUNT)


def test_a_message_without_a_code_in_a_4xx_refuses_the_device() -> None:
    outcome = _judged(_error(400, None))

    assert outcome == Refused(Answer(400, None, "No."), ReasonCode.CARRIER_REFUSED, Scope.DEVICE)


@pytest.mark.parametrize("retry_after", [None, 60.0])
@pytest.mark.parametrize("answer", [HttpAnswer(429, HTML), HttpAnswer(429, b""), _error(429, UNKNOWN_CODE)])
def test_a_429_throttles(answer: HttpAnswer, retry_after: float | None) -> None:
    outcome = _judged(HttpAnswer(answer.status, answer.body, retry_after))

    assert isinstance(outcome, Unreachable)
    assert (outcome.throttled, outcome.retry_after) == (True, retry_after)


def test_a_503_that_says_when_to_come_back_throttles() -> None:
    outcome = _judged(HttpAnswer(503, HTML, 30.0))

    assert isinstance(outcome, Unreachable)
    assert (outcome.throttled, outcome.retry_after) == (True, 30.0)


@pytest.mark.parametrize(("status", "code"), [(503, "30000001"), (503, UNKNOWN_CODE), (429, "30000001")])
def test_a_closed_gate_with_a_code_that_decides_nothing_is_open_and_its_wait_is_kept(status: int, code: str) -> None:
    outcome = _judged(_error(status, code, retry_after=30.0))

    assert isinstance(outcome, Unconfirmed)
    assert outcome.retry_after == 30.0


@pytest.mark.parametrize("status", [200, 202, 302, 500])
def test_a_time_to_come_back_is_none_where_nobody_was_turned_away(status: int) -> None:
    outcome = _judged(_error(status, UNKNOWN_CODE, retry_after=30.0))

    assert outcome == Unconfirmed(Answer(status, UNKNOWN_CODE, "No."))


@pytest.mark.parametrize("status", [101, 302, 303, 307, 408, 500, 502, 503, 504, 599])
def test_a_gateways_page_leaves_the_outcome_open(status: int) -> None:
    assert isinstance(_judged(HttpAnswer(status, HTML)), Unconfirmed)


@pytest.mark.parametrize("body", [b"", HTML, b"null", b"[]", b'"ok"', b'{"iccid": ', b'{"iccid": {}}', b"\xff\xfe"])
def test_a_2xx_without_a_json_object_leaves_the_outcome_open(body: bytes) -> None:
    assert isinstance(_judged(HttpAnswer(200, body)), Unconfirmed)


def test_a_blank_error_code_is_no_error() -> None:
    body = b'{"iccid": "8901", "errorCode": "", "errorMessage": null, "extra": [1]}'

    assert _judged(HttpAnswer(200, body)) == Said(Answer(200), "8901", body.decode())


def test_a_code_is_recognised_as_a_number_too() -> None:
    outcome = _judged(HttpAnswer(400, b'{"errorCode": 10000013}'))

    assert isinstance(outcome, Refused)
    assert outcome.answer.carrier_code == "10000013"


def test_what_never_left_may_be_sent_again_and_what_may_have_left_is_open() -> None:
    unreachable = Unreachable(Answer(message="refused"), ReasonCode.CARRIER_UNREACHABLE)

    assert judged(NotSent("refused"), ()) == unreachable
    assert judged(LostAnswer("reset"), ()) == Unconfirmed(Answer(message="reset"))


def test_words_in_latin_1_are_read() -> None:
    body = '{"errorMessage": "Paramètre non valide", "errorCode": "10000021"}'.encode("latin-1")
    outcome = _judged(HttpAnswer(400, body))

    assert isinstance(outcome, Refused)
    assert outcome.answer.message == "Paramètre non valide"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("two\nlines\tand\x00\x1b[31mcolour", "two lines and [31mcolour"),
        ("right\u202eto left", "right to left"),
        ("x" * 500, "x" * 199 + "…"),
        ("<b>bold</b> " * 2, "<b>bold</b> <b>bold</b>"),
        ("", "HTTP 400 without an error of the carrier's API"),
    ],
)
def test_the_carriers_words_become_one_printable_line_of_200_characters(said: str, message: str) -> None:
    outcome = _judged(_error(400, "10000021", said))

    assert isinstance(outcome, Refused)
    assert outcome.answer.message == message


def test_a_code_that_is_none_is_kept_as_one_printable_line() -> None:
    outcome = _judged(_error(400, "\x00" + "1" * 500))

    assert isinstance(outcome, Refused)
    assert outcome.answer.carrier_code == "1" * 199 + "…"


def test_a_page_is_never_quoted() -> None:
    outcome = _judged(HttpAnswer(502, HTML))

    assert isinstance(outcome, Unconfirmed)
    assert outcome.answer.message == "HTTP 502 without an error of the carrier's API"


def test_a_carrier_that_repeats_the_key_is_not_quoted_with_it() -> None:
    outcome = judged(_error(401, "10000001", "Invalid credentials anna:s3cret-key"), ("s3cret-key",))

    assert isinstance(outcome, Refused)
    assert outcome.answer.message == "Invalid credentials anna:[redacted]"
