"""What is there to look at: lists by pages, results in two forms, history, providers, and the numbers."""

import csv
import io
import json
from collections.abc import Generator

import pytest

from m2m_pipeline.domain.permissions import Role
from m2m_pipeline.domain.status import DeviceStatus
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.web.door import Door, open_door
from m2m_pipeline_tests.world import NEW, OLD, PROVIDER, TENANT, Options

CHANGES = "/api/v1/bulk-changes"


@pytest.fixture
def door(make_world: MakeWorld) -> Generator[Door]:
    with open_door(make_world(Options(devices=5))) as opened:
        yield opened


def pages(door: Door, address: str) -> list[dict[str, object]]:
    items: list[dict[str, object]] = []
    following: str | None = address
    while following:
        answer = door.as_(Role.VIEWER).get(following)
        assert answer.status_code == 200, answer.text
        items.extend(answer.json()["items"])
        following = answer.json()["next"]
    return items


def test_a_list_by_pages_is_whole_though_something_comes_between(door: Door) -> None:
    ids = [door.world.submit([iccid]).bulk_change_id for iccid in door.world.iccids[:4]]
    first = door.as_(Role.VIEWER).get(CHANGES, params={"limit": 2}).json()
    door.world.submit([door.world.iccids[4]])
    rest = pages(door, first["next"])
    assert [item["id"] for item in [*first["items"], *rest]] == ids[::-1]


def test_a_list_is_filtered_by_status_provider_and_time(door: Door) -> None:
    ended = door.world.submit([door.world.iccids[0]]).bulk_change_id
    door.world.run(ended)
    queued = door.world.submit([door.world.iccids[1]]).bulk_change_id

    def listed(**chosen: str) -> list[object]:
        return [one["id"] for one in door.as_().get(CHANGES, params=chosen).json()["items"]]

    assert listed(status="PROCESSED") == [ended]
    assert listed(provider=PROVIDER, status="QUEUED") == [queued]
    assert listed(provider="nobody") == []
    assert listed(created_before="2020-01-01T00:00:00Z") == []
    assert listed(created_from="2020-01-01T00:00:00Z") == [queued, ended]
    (item,) = door.as_().get(CHANGES, params={"status": "PROCESSED"}).json()["items"]
    assert item["counts"] == {"PROCESSED": 1}


@pytest.mark.parametrize("cursor", ["AAAA", "YWZ0ZXI6LTE", "YWZ0ZXI6OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "x"])
def test_a_cursor_that_is_none_of_ours_is_refused(door: Door, cursor: str) -> None:
    assert door.as_().get(CHANGES, params={"cursor": cursor}).status_code == 400


def test_devices_come_in_row_order_and_by_status(door: Door) -> None:
    change = door.world.submit([*door.world.iccids, "12"], invalid_rows="skip").bulk_change_id
    door.world.run(change)
    devices = pages(door, f"{CHANGES}/{change}/devices?limit=2")
    assert [device["row"] for device in devices] == [1, 2, 3, 4, 5, 6]
    (refused,) = pages(door, f"{CHANGES}/{change}/devices?status=REFUSED")
    assert (refused["iccid"], refused["reason"]) == ("12", "ICCID_MALFORMED")


def test_the_result_is_a_document_or_a_table_without_formulas(door: Door) -> None:
    change = door.world.submit([*door.world.iccids, "=1+1"], invalid_rows="skip").bulk_change_id
    document = door.world.run(change)
    address = f"{CHANGES}/{change}/result"
    assert door.as_().get(address).json() == json.loads(document.model_dump_json())
    for answer in (
        door.as_().get(address, headers={"Accept": "text/csv"}),
        door.as_().get(address, params={"format": "csv"}),
    ):
        rows = list(csv.reader(io.StringIO(answer.text)))
        assert rows[0] == ["iccid", "status", "old_plan", "new_plan", "carrier_code", "message"]
        assert rows[1][:4] == [door.world.iccids[0], "PROCESSED", OLD, NEW]
        assert rows[6][0] == "'=1+1"


def test_the_result_comes_in_the_form_that_the_client_would_rather_have(door: Door) -> None:
    address = f"{CHANGES}/{door.world.submit().bulk_change_id}/result"
    forms = {
        "text/csv;q=0.1, application/json": "application/json",
        "application/json;q=0.5, text/csv;q=0.6": "text/csv",
        "text/csv, */*;q=0.8": "text/csv",
        "text/csv, */*": "text/csv",
        "text/csv, application/json": "text/csv",
        "application/json;q=0, */*": "text/csv",
        "text/*, text/csv;q=0.2, application/*;q=0.3": "application/json",
        "text/html, application/xml;q=0.9, */*;q=0.8": "application/json",
        "Text/CSV ; Q=1.000": "text/csv",
        "text/csv;q=0": "application/problem+json",
        "image/png, text/html": "application/problem+json",
    }
    answers = {accept: door.as_().get(address, headers={"Accept": accept}) for accept in forms}
    assert {accept: one.headers["content-type"].partition(";")[0] for accept, one in answers.items()} == forms
    assert {one.status_code for one in answers.values()} == {200, 406}


def test_the_history_of_a_device_goes_across_bulk_changes(door: Door) -> None:
    iccid = door.world.iccids[0]
    first = door.world.submit([iccid]).bulk_change_id
    door.world.run(first)
    second = door.world.submit([iccid], rate_plan=OLD).bulk_change_id
    history = pages(door, f"/api/v1/devices/{iccid}/history?limit=1")
    assert [(one["bulk_change_id"], one["status"]) for one in history] == [(second, "PENDING"), (first, "PROCESSED")]
    assert pages(door, f"/api/v1/devices/{door.world.iccids[1]}/history") == []
    assert door.as_().get("/api/v1/devices/8988216716979999999/history").status_code == 404


def test_providers_are_listed_with_plans_and_standing_and_without_secrets(door: Door) -> None:
    answer = door.as_(Role.VIEWER).get("/api/v1/providers")
    (provider,) = answer.json()["items"]
    assert (provider["name"], provider["standing"]["open_for"]) == (PROVIDER, None)
    assert NEW in provider["rate_plans"]
    assert "5ecret" not in answer.text


def test_a_dry_run_says_what_happens_to_each_device_and_records_nothing(door: Door) -> None:
    door.world.import_devices(door.world.iccids[:1], rate_plan=NEW)
    door.world.submit([door.world.iccids[1]])
    before = door.world.count("audit_entry")
    asked = door.request(devices=[*door.world.iccids, door.world.iccids[2], "12"])
    answer = door.as_().post(f"{CHANGES}/validate", json=asked).json()
    fates = [device["fate"] for device in answer["devices"]]
    assert fates == ["SKIP", "REFUSE", "CHANGE", "CHANGE", "CHANGE", "SKIP", "REFUSE"]
    assert answer["counts"] == {"CHANGE": 3, "WAIT": 0, "SKIP": 2, "REFUSE": 2}
    assert [error["code"] for error in answer["errors"]] == ["OPEN_CHANGE", "DUPLICATE", "ICCID_MALFORMED"]
    assert answer["accepted"] is False
    assert door.as_().post(f"{CHANGES}/validate", json={**asked, "invalid_rows": "skip"}).json()["accepted"] is True
    assert (door.world.count("bulk_change"), door.world.count("audit_entry")) == (1, before)


def test_a_dry_run_foretells_what_then_happens(door: Door) -> None:
    door.world.import_devices(door.world.iccids[:1], rate_plan=NEW)
    asked = door.request(devices=[*door.world.iccids, "12"], invalid_rows="skip")
    foretold = door.as_().post(f"{CHANGES}/validate", json=asked).json()["counts"]
    change = door.as_().post(CHANGES, json=asked).json()["id"]
    counts = door.world.run(change).counts
    assert foretold == {
        "CHANGE": counts[DeviceStatus.PROCESSED],
        "SKIP": counts[DeviceStatus.SKIPPED],
        "REFUSE": counts[DeviceStatus.REFUSED],
        "WAIT": 0,
    }


def test_the_numbers_are_those_of_the_rows(door: Door) -> None:
    door.world.run(door.world.submit(door.world.iccids[:2]).bulk_change_id)
    door.world.submit(door.world.iccids[2:])
    door.world.services.alerting.watch()
    door.world.sql("UPDATE m2m.heartbeat SET at = at - interval '500 s'")
    assert door.world.services.alerting.miss_the_watcher(0)
    text = door.with_token(None).get("/metrics").text
    whose, of = f'provider="{PROVIDER}",tenant="{TENANT}"', f'provider="{PROVIDER}",status='
    for line in (
        "m2m_queue_depth 1.0",
        "m2m_leases_held 0.0",
        f'm2m_bulk_changes{{{of}"PROCESSED",tenant="{TENANT}"}} 1.0',
        f'm2m_devices_open{{{of}"PENDING",tenant="{TENANT}"}} 3.0',
        f'm2m_devices_ended{{{of}"PROCESSED",tenant="{TENANT}"}} 2.0',
        f"m2m_account_calls_per_second_configured{{{whose}}} 1000.0",
        f"m2m_account_breaker_open{{{whose}}} 0.0",
        "m2m_watcher_quiet_seconds 50",
        'm2m_alerts_open{name="PLATFORM_SILENT"} 1.0',
        'm2m_alerts_open{name="DRIFT"} 0.0',
    ):
        assert line in text


def _number(door: Door, name: str) -> float:
    lines = door.with_token(None).get("/metrics").text.splitlines()
    (value,) = [line.rpartition(" ")[2] for line in lines if line.partition("{")[0].partition(" ")[0] == name]
    return float(value)


def test_the_numbers_tell_of_waiting_calls_leases_and_the_breaker(door: Door) -> None:
    first = door.world.submit(door.world.iccids[:2]).bulk_change_id
    assert _number(door, "m2m_queue_oldest_seconds") > 0
    assert _number(door, "m2m_account_calls_made") == 0
    door.world.prepare(first)
    assert (_number(door, "m2m_leases_held"), _number(door, "m2m_leases_expired")) == (1, 0)
    assert _number(door, "m2m_queue_oldest_seconds") == 0
    door.world.sql("UPDATE m2m.bulk_change SET lease_expires_at = clock_timestamp() - interval '1 second'")
    assert _number(door, "m2m_leases_expired") == 1
    door.world.sql("UPDATE m2m.bulk_change SET lease_expires_at = clock_timestamp() + interval '1 minute'")
    door.world.run(first)
    ((counted,),) = door.world.sql("SELECT carrier_calls FROM m2m.bulk_change")
    assert _number(door, "m2m_account_calls_made") == counted != 0
    assert _number(door, "m2m_account_breaker_open") == 0
    door.world.sql(
        "UPDATE m2m.carrier_gate SET open_since = extract(epoch FROM clock_timestamp()),"
        " probe_at = extract(epoch FROM clock_timestamp()) + 60"
    )
    assert _number(door, "m2m_account_breaker_open") == 1


def test_alive_and_ready_are_two_things(door: Door) -> None:
    client = door.with_token(None)
    assert client.get("/healthz").json()["status"] == "ok"
    assert not door.world.services.alerting.health().is_alive  # no daemon: what is submitted waits
    assert client.get("/readyz").status_code == 200
    door.world.sql("UPDATE m2m.m2m_alembic_version SET version_num = '0001'")
    late = client.get("/readyz")
    assert late.status_code == 503
    assert "m2m migrate" in late.json()["checks"]["migrations"]
    assert client.get("/healthz").status_code == 200
