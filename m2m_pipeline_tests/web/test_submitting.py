"""A request over HTTP: recorded once, or refused with every reason, in both systems' names and as a file."""

import pytest

from m2m_pipeline.domain.notices import DestinationKind
from m2m_pipeline.domain.permissions import Role
from m2m_pipeline.services.execution.execution import AccessDeniedError
from m2m_pipeline_tests.web.door import Door
from m2m_pipeline_tests.world import NEW, PROVIDER, TENANT

CHANGES = "/api/v1/bulk-changes"


def csv(*lines: str, header: str = "iccid", end: str = "\n") -> dict[str, tuple[str, bytes, str]]:
    return {"file": ("sims.csv", end.join([header, *lines]).encode(), "text/csv")}


def test_a_request_is_recorded_and_found_where_location_says(door: Door) -> None:
    answer = door.as_().post(CHANGES, json=door.request())
    assert answer.status_code == 202
    record = answer.json()
    assert (record["status"], record["devices"], record["provider"]) == ("QUEUED", 3, PROVIDER)
    found = door.as_().get(answer.headers["location"]).json()
    assert (found["id"], found["status"], found["total"]) == (record["id"], "QUEUED", 3)
    assert found["requested_by"].endswith(":operator")


def test_every_reason_is_said_at_once_and_nothing_is_recorded(door: Door) -> None:
    answer = door.as_().post(CHANGES, json=door.request(rate_plan="No such", devices=["12", door.world.iccids[0]]))
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    errors = {error["code"]: error for error in answer.json()["errors"]}
    assert errors["RATE_PLAN_UNKNOWN"]["pointer"] == "/rate_plan"
    assert errors["ICCID_MALFORMED"]["pointer"] == "/devices/0"
    assert (errors["ICCID_MALFORMED"]["row"], errors["ICCID_MALFORMED"]["value"]) == (1, "12")
    assert all(error["next_step"] for error in errors.values())
    assert door.world.count("bulk_change") == 0


def test_what_cannot_be_read_is_told_with_every_other_reason_also_by_the_dry_run(door: Door) -> None:
    wrong = door.request(rate_plan="No such", batch_size="many", nonsense=1, devices=[None, "12", door.world.iccids[0]])
    answer = door.as_().post(CHANGES, json=wrong)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:m2m:problem:request-rejected")
    errors = answer.json()["errors"]
    assert [(error["pointer"], error["code"]) for error in errors] == [
        ("/batch_size", "FIELD_INVALID"),
        ("/nonsense", "FIELD_INVALID"),
        ("/rate_plan", "RATE_PLAN_UNKNOWN"),
        ("/devices/0", "FIELD_INVALID"),
        ("/devices/1", "ICCID_MALFORMED"),
    ]
    foretold = door.as_().post(f"{CHANGES}/validate", json=wrong).json()
    assert (foretold["accepted"], foretold["errors"]) == (False, errors)
    assert [device["fate"] for device in foretold["devices"]] == ["REFUSE", "REFUSE", "CHANGE"]
    assert door.world.count("bulk_change") == 0


@pytest.mark.parametrize("unread", [{"rate_plan": 7}, {"provider": 7}, {"devices": 7}], ids=str)
def test_what_cannot_be_read_is_not_told_again_as_missing(door: Door, unread: dict[str, object]) -> None:
    errors = door.as_().post(CHANGES, json=door.request(**unread)).json()["errors"]
    assert [error["field"] for error in errors] == list(unread)


def test_the_key_of_a_former_request_does_not_hide_what_cannot_be_read(door: Door) -> None:
    headers = {"Idempotency-Key": "k1"}
    assert door.as_().post(CHANGES, json=door.request(), headers=headers).status_code == 202
    again = door.as_().post(CHANGES, json=door.request(priority="high"), headers=headers)
    assert again.status_code == 400
    assert again.json()["errors"][0]["pointer"] == "/priority"


def test_a_file_that_cannot_be_read_is_told_with_what_is_wrong_in_the_fields(door: Door) -> None:
    fields = {"provider": "nobody", "rate_plan": NEW, "batch_size": "many"}
    answer = door.as_().post(CHANGES, data=fields, files=csv(*door.world.iccids, header="number"))
    codes = {error["code"] for error in answer.json()["errors"]}
    assert (answer.status_code, codes) == (400, {"FILE_HEADER_WRONG", "FIELD_INVALID", "PROVIDER_UNKNOWN"})


def test_the_existing_systems_names_are_understood_and_pointed_at(door: Door) -> None:
    legacy = {
        "ServiceProviderId": door.world.provider.id,
        "ChangeType": 7,
        "ProcessChanges": False,
        "Devices": list(door.world.iccids),
        "CarrierRatePlanUpdate": {"CarrierRatePlan": NEW, "CommPlan": None, "EffectiveDate": None, "PlanUuid": None},
    }
    assert door.as_().post(CHANGES, json=legacy).json()["status"] == "NEW"
    wrong = {**legacy, "CarrierRatePlanUpdate": {"CarrierRatePlan": "No such"}}
    (error, *_) = door.as_().post(CHANGES, json=wrong).json()["errors"]
    assert error["pointer"] == "/CarrierRatePlanUpdate/CarrierRatePlan"


def test_the_existing_systems_route_answers_in_its_shape(door: Door) -> None:
    legacy = {
        "ServiceProviderId": door.world.provider.id,
        "ChangeType": 7,
        "ProcessChanges": True,
        "Devices": list(door.world.iccids),
        "CarrierRatePlanUpdate": {"CarrierRatePlan": NEW},
    }
    done = door.as_().post("/M2M/BulkChange", json=legacy)
    assert (done.status_code, done.json()["errors"]) == (200, [])
    assert door.as_().get(done.json()["redirectUrl"]).json()["status"] == "QUEUED"
    refused = door.as_().post("/M2M/BulkChange", json={**legacy, "Devices": ["12"]})
    assert (refused.status_code, refused.json()["redirectUrl"]) == (200, None)
    assert "not an ICCID" in refused.json()["errors"][0]
    assert door.as_(Role.VIEWER).post("/M2M/BulkChange", json=legacy).status_code == 403


@pytest.mark.parametrize(
    ("header", "end"), [("iccid", "\n"), ("\ufeffICCID", "\r\n"), ("SIM", "\n"), ('"sim number";note', "\r\n")]
)
def test_a_csv_comes_as_a_form(door: Door, header: str, end: str) -> None:
    fields = {"provider": PROVIDER, "rate_plan": NEW, "process_changes": "false"}
    answer = door.as_().post(CHANGES, data=fields, files=csv(*door.world.iccids, header=header, end=end))
    assert answer.status_code == 202, answer.text
    assert (answer.json()["devices"], answer.json()["status"]) == (3, "NEW")


def test_lines_with_too_many_cells_are_rows_at_fault_and_can_be_skipped(door: Door) -> None:
    fields = {"provider": PROVIDER, "rate_plan": NEW}
    files = csv(f"{door.world.iccids[0]},12", door.world.iccids[1], "12")
    refused = door.as_().post(CHANGES, data=fields, files=files)
    assert refused.status_code == 400
    assert [(error["row"], error["code"]) for error in refused.json()["errors"]] == [
        (1, "FILE_MALFORMED"),
        (3, "ICCID_MALFORMED"),
    ]
    recorded = door.as_().post(CHANGES, data={**fields, "invalid_rows": "skip"}, files=files)
    assert recorded.status_code == 202, recorded.text
    assert door.world.sql("SELECT status, reason FROM m2m.device_change ORDER BY row_number") == [
        ("REFUSED", "FILE_MALFORMED"),
        ("PENDING", None),
        ("REFUSED", "ICCID_MALFORMED"),
    ]


def test_a_damaged_number_is_called_by_its_name_and_row(door: Door) -> None:
    rounded = "8988216716970012000"
    fields = {"provider": PROVIDER, "rate_plan": NEW}
    answer = door.as_().post(CHANGES, data=fields, files=csv("8.98E+18", "8988216716971230000", rounded))
    codes = [(error["row"], error["code"]) for error in answer.json()["errors"]]
    assert codes == [(1, "ICCID_SPREADSHEET_DAMAGE"), (2, "ICCID_SPREADSHEET_DAMAGE"), (3, "NOT_IN_INVENTORY")]
    assert all(error["pointer"] is None for error in answer.json()["errors"])


def test_a_provider_without_an_adapter_has_a_type_of_its_own(door: Door) -> None:
    door.world.sql("UPDATE m2m.service_provider SET integration_type = 'Pond'")
    answer = door.as_().post(CHANGES, json=door.request())
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:m2m:problem:unsupported-provider")


def test_too_many_open_changes_are_refused_until_one_ends(door: Door) -> None:
    door.world.sql("UPDATE m2m.tenant SET max_open_changes = 1")
    first = door.as_().post(CHANGES, json=door.request(devices=[door.world.iccids[0]])).json()["id"]
    second = door.request(devices=[door.world.iccids[1]])
    answer = door.as_().post(CHANGES, json=second)
    assert (answer.status_code, answer.json()["type"]) == (429, "urn:m2m:problem:too-many-open-changes")
    door.world.run(first)
    assert door.as_().post(CHANGES, json=second).status_code == 202


def test_only_what_was_recorded_as_new_is_processed(door: Door) -> None:
    recorded = door.as_().post(CHANGES, json=door.request(process_changes=False)).json()["id"]
    assert door.as_(Role.ADMIN).post(f"{CHANGES}/{recorded}/process").json()["status"] == "QUEUED"
    again = door.as_().post(f"{CHANGES}/{recorded}/process")
    assert (again.status_code, again.json()["type"]) == (409, "urn:m2m:problem:not-processable")
    told = door.world.sql(
        "SELECT kind, outcome, actor FROM m2m.audit_entry WHERE bulk_change_id = %s ORDER BY id", recorded
    )
    assert [(kind, outcome, str(actor).rpartition(":")[2]) for kind, outcome, actor in told] == [
        ("REQUEST_RECORDED", "RECORDED", "operator"),
        ("PROCESSING_REQUESTED", "QUEUED", "admin"),
    ]
    assert door.as_().post(f"{CHANGES}/{recorded}/retry").status_code == 409


def test_what_was_recorded_as_new_is_withdrawn_and_that_end_is_told(door: Door) -> None:
    door.world.services.destinations.store(TENANT, DestinationKind.WEBHOOK, "https://hooks.example.com/", None, "test")
    recorded = door.as_().post(CHANGES, json=door.request(process_changes=False)).json()["id"]
    ended = door.as_().post(f"{CHANGES}/{recorded}/withdraw")
    assert (ended.status_code, ended.json()["status"], ended.json()["counts"]) == (200, "REJECTED", {"REFUSED": 3})
    assert ended.json() == door.as_(Role.VIEWER).get(f"{CHANGES}/{recorded}").json()
    assert ended.json()["message"].startswith("Withdrawn by key:")
    assert door.world.sql("SELECT bulk_change_id, event_type FROM m2m.notice") == [(recorded, "bulk_change.ended")]
    again = door.as_().post(f"{CHANGES}/{recorded}/withdraw")
    assert (again.status_code, again.json()["type"]) == (409, "urn:m2m:problem:not-withdrawable")
    assert door.as_().post(f"{CHANGES}/{recorded}/process").status_code == 409


def test_refused_devices_of_an_ended_change_are_tried_again(door: Door) -> None:
    door.world.sql("UPDATE m2m.service_provider SET writes_enabled = false")
    change = door.as_().post(CHANGES, json=door.request()).json()["id"]
    with pytest.raises(AccessDeniedError):
        door.world.run(change)
    again = door.as_().post(f"{CHANGES}/{change}/retry")
    assert (again.status_code, again.json()["status"], again.json()["pending"]) == (202, "QUEUED", 3)


def test_a_problem_names_no_iccid_whole_and_says_by_row_and_pointer_which_it_is(door: Door) -> None:
    known, held = door.world.iccids[:2]
    door.world.submit([held])
    stranger, rounded, spoilt = "8988216716970099999", "8988216716971230000", f"{known}F"
    devices = [known, known, held, stranger, rounded, spoilt]
    answer = door.as_().post(CHANGES, json=door.request(devices=devices))
    client = door.as_(Role.VIEWER)
    lost = [client.get(f"/api/v1/devices/{stranger}/history"), client.get(f"/api/v1/{known}/none")]

    errors = {error["row"]: error for error in answer.json()["errors"]}
    assert [errors[row]["code"] for row in sorted(errors)] == [
        *("DUPLICATE", "OPEN_CHANGE", "NOT_IN_INVENTORY", "ICCID_SPREADSHEET_DAMAGE", "ICCID_MALFORMED")
    ]
    assert errors[4]["pointer"] == "/devices/3"
    assert errors[4]["value"] == "8988…9999"
    assert errors[4]["message"].startswith("8988…9999 is not")
    assert [one.status_code for one in lost] == [404, 404]
    told = " ".join(one.text for one in [answer, *lost])
    assert not [iccid for iccid in devices if iccid in told]
