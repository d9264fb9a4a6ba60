"""Each scenario does at the socket what its name says, and the ledger tells the truth about it."""

import base64
import socket
from urllib.parse import urlsplit

import httpx
import pytest

from m2m_pipeline.simulator.client import SimulatorControl
from m2m_pipeline.simulator.documents import LedgerCall
from m2m_pipeline.simulator.scenarios import SCENARIOS, Rule
from m2m_pipeline_tests.simulator.conftest import ICCID, NEW, OLD, USER, code_of, eventually, plan_of, put_plan

SHORT = httpx.Timeout(5.0, read=0.3)


def closed_call(control: SimulatorControl, n: int = 1) -> LedgerCall:
    """The nth call, once the carrier has noticed its end."""
    eventually(lambda: control.calls()[n - 1].end is not None)
    return control.calls()[n - 1]


def sent_put(url: str, missing: int = 0) -> socket.socket:
    """A connection on which a PUT of the new plan was sent, less than it announces by this many bytes."""
    address = urlsplit(url)
    key = base64.b64encode(":".join(USER).encode()).decode()
    body = f'{{"ratePlan": "{NEW}"}}'
    head = f"PUT /rws/api/v1/devices/{ICCID} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {key}\r\n"
    connection = socket.create_connection((address.hostname or "", address.port or 0), timeout=5)
    connection.sendall(f"{head}Content-Length: {len(body) + missing}\r\n\r\n{body}".encode())
    return connection


def answer_on_a_bare_socket(url: str) -> bytes:
    """Everything that a PUT of the new plan gets until the connection ends."""
    with sent_put(url) as connection:
        received = b""
        while part := connection.recv(65536):
            received += part
        return received


@pytest.mark.parametrize(("name", "plan"), [("applied_then_reset", NEW), ("reset_before", OLD)])
def test_a_reset_is_a_tcp_reset_with_or_without_the_change(
    control: SimulatorControl, url: str, name: str, plan: str
) -> None:
    control.start(Rule(name=name))
    with pytest.raises(ConnectionResetError):
        answer_on_a_bare_socket(url)
    call = closed_call(control)
    assert (call.scenario, call.status, call.account) == (name, None, "amop")
    assert plan_of(control) == plan


@pytest.mark.parametrize(("name", "plan"), [("applied_then_silence", NEW), ("hang", OLD)])
def test_silence_lasts_until_the_caller_gives_up(
    control: SimulatorControl, carrier: httpx.Client, name: str, plan: str
) -> None:
    control.start(Rule(name=name))
    with pytest.raises(httpx.ReadTimeout):
        carrier.put(f"/devices/{ICCID}", json={"ratePlan": NEW}, timeout=SHORT)
    call = closed_call(control)
    assert call.status is None
    assert call.end is not None
    assert call.end - call.start >= 0.25
    assert plan_of(control) == plan


def test_an_outage_closes_every_connection_without_a_byte(
    control: SimulatorControl, carrier: httpx.Client, url: str
) -> None:
    rule = control.start(Rule(name="outage"))
    assert answer_on_a_bare_socket(url) == b""
    with pytest.raises(httpx.RemoteProtocolError):
        carrier.get("/echo/x")
    control.stop(rule)
    assert carrier.get("/echo/x").status_code == 200
    assert [call.status for call in control.calls()] == [None, None, 200]
    assert plan_of(control) == OLD


def test_a_request_that_never_arrives_in_full_is_not_carried_out(control: SimulatorControl, url: str) -> None:
    with sent_put(url, missing=1):
        eventually(lambda: control.summary().open_calls == 1)
    assert closed_call(control).status is None
    assert plan_of(control) == OLD


ANSWERS: list[tuple[str, tuple[int, str], str]] = [
    ("error500_applied", (500, "30000001"), NEW),
    ("error500_not_applied", (500, "30000001"), OLD),
    ("role_denied", (400, "10000030"), OLD),
    ("key_revoked", (401, "10000001"), OLD),
    ("ip_blocked", (401, "10000001"), OLD),
    ("unknown_code", (400, "19999999"), OLD),
    ("rate_limited", (400, "40000029"), OLD),
    ("device_refused", (400, "10000029"), OLD),
    ("device_transferred", (404, "20000001"), OLD),
]


@pytest.mark.parametrize(("name", "answer", "plan"), ANSWERS)
def test_an_error_answer_is_what_the_scenario_says(
    control: SimulatorControl, carrier: httpx.Client, name: str, answer: tuple[int, str], plan: str
) -> None:
    control.start(Rule(name=name))
    response = put_plan(carrier)
    assert (response.status_code, code_of(response)) == answer
    call = closed_call(control)
    assert (call.status, call.error_code) == answer
    assert call.scenario == name
    assert plan_of(control) == plan


def test_a_refused_device_is_refused_with_the_code_of_choice(control: SimulatorControl, carrier: httpx.Client) -> None:
    control.start(Rule(name="device_refused", error_code="10000025"))
    assert code_of(put_plan(carrier)) == "10000025"


def test_an_error_in_latin_1_is_not_utf_8(control: SimulatorControl, carrier: httpx.Client) -> None:
    control.start(Rule(name="latin1_error"))
    response = put_plan(carrier)
    assert response.headers["Content-Type"] == "application/json;charset=ISO-8859-1"
    assert '"errorCode": "10000021"' in response.content.decode("iso-8859-1")
    with pytest.raises(UnicodeDecodeError):
        response.content.decode("utf-8")
    assert plan_of(control) == OLD


@pytest.mark.parametrize(("name", "status"), [("html_502", 502), ("burst_503", 503)])
def test_a_gateway_answers_html_and_needs_no_credential(
    control: SimulatorControl, carrier: httpx.Client, name: str, status: int
) -> None:
    control.start(Rule(name=name))
    response = carrier.put(f"/devices/{ICCID}", json={"ratePlan": NEW}, auth=("nobody", "x"))
    assert response.status_code == status
    assert response.headers["Content-Type"].startswith("text/html")
    assert "Retry-After" not in response.headers
    assert plan_of(control) == OLD


@pytest.mark.parametrize("name", ["burst_503", "rate_limited", "error500_not_applied"])
def test_retry_after_and_a_503_are_sent_on_demand(control: SimulatorControl, carrier: httpx.Client, name: str) -> None:
    control.start(Rule(name=name, status=503, retry_after_s=7))
    answer = put_plan(carrier)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")


def test_a_gateway_error_may_come_after_the_change(control: SimulatorControl, carrier: httpx.Client) -> None:
    control.start(Rule(name="html_502", applied=True))
    assert put_plan(carrier).status_code == 502
    assert plan_of(control) == NEW


def test_an_accepted_change_is_applied_later(control: SimulatorControl, carrier: httpx.Client) -> None:
    control.start(Rule(name="accepted_202_applied_later", delay_s=0.3))
    response = put_plan(carrier)
    assert (response.status_code, response.json()) == (202, {"iccid": ICCID})
    assert plan_of(control) == OLD
    eventually(lambda: plan_of(control) == NEW)
    (change,) = control.changes()
    assert change.call == 1
    assert change.at - control.calls()[0].wall >= 0.29


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        ("accepted_202_never", 202, {"iccid": ICCID}),
        ("ok_not_applied", 200, {"iccid": ICCID}),
        ("blank_iccid", 200, {"iccid": ""}),
        ("foreign_iccid", 200, {"iccid": "8999999999999999999"}),
    ],
)
def test_a_yes_without_the_change(
    control: SimulatorControl, carrier: httpx.Client, name: str, status: int, body: dict[str, str]
) -> None:
    control.start(Rule(name=name))
    response = put_plan(carrier)
    assert (response.status_code, response.json()) == (status, body)
    assert carrier.get(f"/devices/{ICCID}").json()["ratePlan"] == OLD
    assert control.changes() == []


def test_a_yes_that_failed_inside_shows_in_the_audit_trail(control: SimulatorControl, carrier: httpx.Client) -> None:
    control.start(Rule(name="ok_not_applied"))
    put_plan(carrier)
    trail = carrier.get(f"/devices/{ICCID}/auditTrails").json()
    assert [entry["status"] for entry in trail["deviceAuditTrails"]] == ["Error"]


@pytest.mark.parametrize("name", ["accepted_202_never", "ok_not_applied", "blank_iccid"])
def test_a_yes_is_not_said_to_a_request_that_does_not_hold(
    control: SimulatorControl, carrier: httpx.Client, name: str
) -> None:
    control.start(Rule(name=name))
    assert code_of(put_plan(carrier, "No such plan")) == "10000013"


def test_a_truncated_answer_ends_before_its_announced_length(
    control: SimulatorControl, carrier: httpx.Client, url: str
) -> None:
    control.start(Rule(name="truncated"))
    with pytest.raises(httpx.RemoteProtocolError):
        put_plan(carrier)
    head, _, body = answer_on_a_bare_socket(url).partition(b"\r\n\r\n")
    assert b"content-length: 32" in head
    assert len(body) == 16
    assert closed_call(control).status == 200
    assert plan_of(control) == NEW


def test_an_oversized_answer_has_many_megabytes(control: SimulatorControl, carrier: httpx.Client) -> None:
    control.start(Rule(name="oversized", size_mb=20))
    response = put_plan(carrier)
    assert len(response.content) > 20 * 1024 * 1024
    assert response.json() == {"iccid": ICCID}


def test_a_slow_answer_drips_byte_by_byte(control: SimulatorControl, carrier: httpx.Client) -> None:
    control.start(Rule(name="slow_drip", interval_s=0.01))
    assert put_plan(carrier).json() == {"iccid": ICCID}
    call = closed_call(control)
    assert call.end is not None
    assert call.end - call.start >= 0.01 * 32


def test_a_slow_answer_stops_when_the_caller_leaves(control: SimulatorControl, carrier: httpx.Client) -> None:
    control.start(Rule(name="slow_drip", interval_s=0.5))
    with pytest.raises(httpx.ReadTimeout):
        carrier.put(f"/devices/{ICCID}", json={"ratePlan": NEW}, timeout=SHORT)
    assert closed_call(control).status == 200


TESTED = {name for name, *_ in ANSWERS} | {
    *("applied_then_reset", "applied_then_silence", "reset_before", "hang", "outage", "slow_drip", "truncated"),
    *("oversized", "html_502", "burst_503", "accepted_202_applied_later", "accepted_202_never", "ok_not_applied"),
    *("latin1_error", "blank_iccid", "foreign_iccid", "limit_tightened", "rate_plan_retired", "clock_skew"),
    *("list_moves", "list_unordered"),
}


def test_no_scenario_is_without_a_test() -> None:
    assert SCENARIOS.keys() == TESTED
