"""The documented behaviour of the REST API (carriers.md 1.1 to 1.6)."""

import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from m2m_pipeline.simulator.client import SimulatorControl
from m2m_pipeline.simulator.documents import Drift
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.simulator.conftest import ICCID, ICCIDS, NEW, OLD, THIRD, code_of, plan_of, put_plan

LONG_AGO = {"modifiedSince": "2000-01-01T00:00:00Z"}


def effective_date(days_ahead: int) -> str:
    return f"{datetime.now(UTC) + timedelta(days=days_ahead):%Y-%m-%dZ}"


def test_echo_answers_what_it_was_given(carrier: httpx.Client) -> None:
    assert carrier.get("/echo/hello").json() == {"param": "hello"}


def test_a_missing_authorization_is_told_without_a_code(url: str, control: SimulatorControl) -> None:
    response = httpx.get(f"{url}/rws/api/v1/echo/x", trust_env=False)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Basic realm="Jasper"'
    assert response.json().keys() == {"errorMessage"}
    assert control.calls()[0].account is None


@pytest.mark.parametrize("user", [("amop", "wrong"), ("nobody", "amop-key"), ("remote", "remote-key")])
def test_a_wrong_key_an_unknown_user_and_a_forbidden_address_look_the_same(
    carrier: httpx.Client, user: tuple[str, str]
) -> None:
    response = carrier.get("/echo/x", auth=user)
    assert (response.status_code, code_of(response)) == (401, "10000001")
    assert response.headers["WWW-Authenticate"] == 'Basic realm="Jasper"'


def test_a_device_has_all_documented_fields(carrier: httpx.Client) -> None:
    device = carrier.get(f"/devices/{ICCID}").json()
    assert device["iccid"] == ICCID
    assert device["ratePlan"] == OLD
    assert device["accountId"] == "100"
    assert device["customer"] is None
    assert device["accountCustom10"] == ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+0000", device["dateUpdated"])
    documented = {"imsi", "msisdn", "imei", "status", "endConsumerId", "dateActivated", "dateAdded", "dateShipped"}
    assert documented | {"fixedIPAddress", "simNotes", "deviceID", "modemID", "eid", "simProfileId"} <= device.keys()


def test_fields_chooses_fields(carrier: httpx.Client) -> None:
    response = carrier.get(f"/devices/{ICCID}", params={"fields": "iccid,ratePlan"})
    assert response.json() == {"iccid": ICCID, "ratePlan": OLD}


def test_fields_is_not_valid_on_a_put(carrier: httpx.Client) -> None:
    response = carrier.put(f"/devices/{ICCID}", params={"fields": "iccid"}, json={"ratePlan": NEW})
    assert code_of(response) == "10000028"


def test_a_put_changes_both_plans_at_once(carrier: httpx.Client, control: SimulatorControl) -> None:
    response = carrier.put(f"/devices/{ICCID}", json={"ratePlan": NEW, "communicationPlan": "Comm New"})
    assert (response.status_code, response.json()) == (200, {"iccid": ICCID})
    (change,) = control.changes()
    assert (change.iccid, change.call) == (ICCID, 1)
    assert (change.from_plan, change.to_plan, change.from_comm, change.to_comm) == (OLD, NEW, "Comm Old", "Comm New")


def test_a_put_to_the_present_plan_is_answered_200_and_modifies_nothing(
    carrier: httpx.Client, control: SimulatorControl
) -> None:
    before = carrier.get(f"/devices/{ICCID}").json()
    assert put_plan(carrier, OLD).status_code == 200
    assert carrier.get(f"/devices/{ICCID}").json() == before
    assert control.changes() == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"ratePlan": ', "10000023"),
        (b"[]", "10000023"),
        (b"\xff", "10000023"),
        (b'{"ratePlan": "Plan New", "ratePlanId": "7"}', "10000028"),
        (b"{}", "10000011"),
        (b'{"effectiveDate": "2026-12-01Z"}', "10000011"),
        (b'{"ratePlan": "No such plan"}', "10000013"),
        (b'{"ratePlan": null}', "10000013"),
        (b'{"ratePlan": "Plan New", "communicationPlan": "No such plan"}', "10000014"),
        (b'{"status": "SUSPENDED"}', "10000005"),
        (b'{"overageLimitOverride": "NEVER"}', "10000016"),
        (b'{"ipv4Address": "10.0.0.1"}', "10000011"),
        (b'{"ratePlan": "Plan New", "effectiveDate": "2026-12-01T00:00:00Z"}', "10000012"),
        (b'{"ratePlan": "Plan New", "effectiveDate": "2026-12-32Z"}', "10000012"),
        (b'{"ratePlan": "Plan New", "effectiveDate": "2020-01-01Z"}', "10000012"),
    ],
)
def test_a_put_that_does_not_hold_is_refused_as_a_whole(
    carrier: httpx.Client, control: SimulatorControl, body: bytes, code: str
) -> None:
    response = carrier.put(f"/devices/{ICCID}", content=body)
    assert (response.status_code, code_of(response)) == (400, code)
    assert plan_of(control) == OLD
    assert control.calls()[0].error_code == code


def test_an_effective_date_beyond_180_days_is_refused(carrier: httpx.Client) -> None:
    for days, status in ((180, 200), (182, 400)):
        body = {"ratePlan": NEW, "effectiveDate": effective_date(days)}
        assert carrier.put(f"/devices/{ICCID}", json=body).status_code == status


def test_a_change_for_a_later_date_is_made_at_that_date(carrier: httpx.Client, control: SimulatorControl) -> None:
    body = {"ratePlan": NEW, "effectiveDate": effective_date(2)}
    assert carrier.put(f"/devices/{ICCID}", json=body).json() == {"iccid": ICCID}
    assert carrier.get(f"/devices/{ICCID}").json()["ratePlan"] == OLD
    control.start(Rule(name="clock_skew", skew_s=timedelta(days=3).total_seconds()))
    assert carrier.get(f"/devices/{ICCID}").json()["ratePlan"] == NEW
    (change,) = control.changes()
    assert datetime.fromtimestamp(change.at, UTC).strftime("%Y-%m-%dZ") == effective_date(2)


def test_an_effective_date_of_today_is_immediate(carrier: httpx.Client, control: SimulatorControl) -> None:
    today = effective_date(0).replace("Z", "+00:00")
    assert carrier.put(f"/devices/{ICCID}", json={"ratePlan": NEW, "effectiveDate": today}).status_code == 200
    assert plan_of(control) == NEW


def test_other_editable_fields_are_kept(carrier: httpx.Client, control: SimulatorControl) -> None:
    carrier.put(f"/devices/{ICCID}", json={"deviceID": "truck 7", "accountCustom1": "78"})
    device = carrier.get(f"/devices/{ICCID}", params={"fields": "deviceID,accountCustom1"}).json()
    assert device == {"deviceID": "truck 7", "accountCustom1": "78"}
    assert control.changes() == []


def test_an_unknown_device_and_one_of_another_account_are_equally_unknown(carrier: httpx.Client) -> None:
    for response in (
        carrier.get("/devices/8988000000000000000"),
        carrier.get(f"/devices/{ICCID}", auth=("clerk", "clerk-key")),
        put_plan(carrier, iccid="8988000000000000000"),
        carrier.get("/devices/8988000000000000000/auditTrails"),
    ):
        assert (response.status_code, code_of(response)) == (404, "20000001")


@pytest.mark.parametrize("path", ["/rws/api/v1/nothing", "/", "/provision/api"])
def test_a_wrong_path_answers_html(url: str, carrier: httpx.Client, path: str) -> None:
    response = carrier.get(url + path)
    assert response.status_code == 404
    assert response.headers["Content-Type"].startswith("text/html")


def test_another_version_of_the_api_is_refused(url: str, carrier: httpx.Client) -> None:
    assert code_of(carrier.get(f"{url}/rws/api/v2/echo/x")) == "10000024"


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({}, "10000003"),
        ({"modifiedSince": "2026-01-01"}, "10000012"),
        ({"modifiedSince": "2026-01-01T00:00:00 00:00"}, "10000012"),
        (LONG_AGO | {"modifiedTill": "1999-01-01T00:00:00Z"}, "10000027"),
        (LONG_AGO | {"modifiedTill": "2002-01-01T00:00:00Z"}, "10000012"),
        (LONG_AGO | {"pageSize": "51"}, "10000006"),
        (LONG_AGO | {"pageSize": "0"}, "10000006"),
        (LONG_AGO | {"pageNumber": "0"}, "10000007"),
        (LONG_AGO | {"pageNumber": "x"}, "10000007"),
        (LONG_AGO | {"status": "SUSPENDED"}, "10000005"),
        (LONG_AGO | {"accountId": "999"}, "10000004"),
        (LONG_AGO | {"sort": "iccid"}, "10000028"),
    ],
)
def test_a_search_that_does_not_hold_is_refused(carrier: httpx.Client, parameters: dict[str, str], code: str) -> None:
    response = carrier.get("/devices", params=parameters)
    assert (response.status_code, code_of(response)) == (400, code)


def test_a_search_pages_by_fifty_until_the_last_page(carrier: httpx.Client) -> None:
    first = carrier.get("/devices", params=LONG_AGO).json()
    second = carrier.get("/devices", params=LONG_AGO | {"pageNumber": "2"}).json()
    assert (first["pageNumber"], len(first["devices"]), first["lastPage"]) == (1, 50, False)
    assert (second["pageNumber"], len(second["devices"]), second["lastPage"]) == (2, 11, True)
    assert first["devices"][0] == {
        "iccid": ICCID,
        "status": "ACTIVATED",
        "ratePlan": OLD,
        "communicationPlan": "Comm Old",
    }
    assert {device["iccid"] for device in first["devices"] + second["devices"]} == {ICCID, *ICCIDS}


def test_a_search_finds_what_was_modified_since_then_oldest_change_first(
    carrier: httpx.Client, control: SimulatorControl
) -> None:
    begin = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S+00:00}"
    for iccid in (ICCIDS[7], ICCIDS[3], ICCIDS[5]):
        put_plan(carrier, iccid=iccid)
    put_plan(carrier, THIRD, ICCIDS[7])
    control.drift(ICCID, Drift(rate_plan=THIRD))
    found = carrier.get("/devices", params={"modifiedSince": begin}).json()
    assert [device["iccid"] for device in found["devices"]] == [ICCIDS[3], ICCIDS[5], ICCIDS[7], ICCID]
    assert found["lastPage"] is True


def test_a_search_filters_by_status_and_custom_field(carrier: httpx.Client) -> None:
    carrier.put(f"/devices/{ICCIDS[1]}", json={"status": "DEACTIVATED"})
    carrier.put(f"/devices/{ICCIDS[2]}", json={"accountCustom1": "north"})
    for parameter, iccid in (({"status": "DEACTIVATED"}, ICCIDS[1]), ({"accountCustom1": "north"}, ICCIDS[2])):
        found = carrier.get("/devices", params=LONG_AGO | parameter).json()
        assert [device["iccid"] for device in found["devices"]] == [iccid]


def test_an_account_sees_only_its_own_devices(carrier: httpx.Client) -> None:
    found = carrier.get("/devices", params=LONG_AGO, auth=("clerk", "clerk-key")).json()
    assert found == {"pageNumber": 1, "devices": [], "lastPage": True}


def test_the_audit_trail_tells_who_changed_what(carrier: httpx.Client) -> None:
    put_plan(carrier)
    trail = carrier.get(f"/devices/{ICCID}/auditTrails", params={"daysOfHistory": "1"}).json()
    (entry,) = trail["deviceAuditTrails"]
    assert (entry["field"], entry["priorValue"], entry["value"]) == ("ratePlan", OLD, NEW)
    assert (entry["status"], entry["userName"], trail["lastPage"]) == ("Completed", "amop", True)
    too_long = carrier.get(f"/devices/{ICCID}/auditTrails", params={"daysOfHistory": "366"})
    assert code_of(too_long) == "10000049"


def test_rate_plans_need_the_role(carrier: httpx.Client) -> None:
    plans = carrier.get("/rateplans").json()
    assert [plan["name"] for plan in plans["ratePlans"]] == [OLD, NEW, THIRD]
    assert plans["lastPage"] is True
    refused = carrier.get("/rateplans", auth=("clerk", "clerk-key"))
    assert (refused.status_code, code_of(refused)) == (400, "10000030")
