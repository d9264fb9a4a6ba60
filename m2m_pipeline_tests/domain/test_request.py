"""The request as it comes in: our names, or the existing system's."""

from collections.abc import Mapping

import pytest

from m2m_pipeline.domain.problems import RequestRejectedError
from m2m_pipeline.domain.request import BulkChangeRequest, InvalidRows, parse_request

ICCID = "8988216716970000001"

EXISTING: Mapping[str, object] = {
    "ServiceProviderId": 42,
    "ChangeType": 7,
    "ProcessChanges": True,
    "Devices": [ICCID, "8988216716970000002"],
    "CarrierRatePlanUpdate": {
        "CarrierRatePlan": "Plan B",
        "CommPlan": None,
        "EffectiveDate": None,
        "PlanUuid": "c0ffee",
        "RatePlanId": 0,
    },
    "StatusUpdate": None,
    "RevService": None,
    "CustomerRatePlanUpdate": None,
    "OverrideValidation": False,
}


def faults(data: object) -> list[str | None]:
    told = parse_request(data).faults
    assert {problem.code for problem in told} == {"FIELD_INVALID"}
    return [problem.field for problem in told]


def test_the_existing_systems_request_is_understood() -> None:
    request = parse_request(EXISTING)
    assert request == BulkChangeRequest(
        service_provider_id=42, rate_plan="Plan B", devices=(ICCID, "8988216716970000002")
    )


def test_ours_is_understood() -> None:
    request = parse_request(
        {
            "provider": "att",
            "rate_plan": " Plan B ",
            "communication_plan": "Comm",
            "effective_date": "2026-12-01",
            "devices": [f" {ICCID} "],
            "batch_size": 10,
            "priority": 5,
            "invalid_rows": "skip",
            "idempotency_key": "k",
        }
    )
    assert (request.rate_plan, request.devices, request.invalid_rows) == ("Plan B", (ICCID,), InvalidRows.SKIP)
    assert request.process_changes


@pytest.mark.parametrize("name", ["att", "AT&T - POD19", " att "])
def test_a_provider_id_that_is_no_number_is_a_name(name: str) -> None:
    request = parse_request({**EXISTING, "ServiceProviderId": name})
    assert (request.provider, request.service_provider_id) == (name.strip(), None)


def test_a_provider_id_may_be_a_number_in_quotes() -> None:
    assert parse_request({**EXISTING, "ServiceProviderId": "42"}).service_provider_id == 42


@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_null_and_blank_mean_that_nothing_is_meant(nothing: str | None) -> None:
    request = parse_request(
        {
            "provider": nothing,
            "rate_plan": nothing,
            "communication_plan": nothing,
            "effective_date": nothing,
            "idempotency_key": nothing,
            "batch_size": nothing,
            "devices": [ICCID],
        }
    )
    assert request == BulkChangeRequest(devices=(ICCID,))


def test_process_changes_false_is_kept() -> None:
    assert not parse_request({**EXISTING, "ProcessChanges": False}).process_changes


@pytest.mark.parametrize("kind", [0, 3, 8, -7])
def test_another_change_type_is_read_and_left_to_the_examination(kind: int) -> None:
    assert parse_request({**EXISTING, "ChangeType": kind}).change_type == kind


def test_a_digit_string_sent_as_a_number_is_itself_and_a_float_shows_its_damage() -> None:
    request = parse_request({"devices": [8988216716970000001, 8.98821671697e18]})
    assert request.devices == (ICCID, "8.98821671697e+18")


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ({"rateplan": "x"}, "rateplan"),
        ({"Device": []}, "Device"),
        ({"tenant_id": 1}, "tenant_id"),
        ({"CarrierRatePlanUpdate": {"CarrierRatePlans": "x"}}, "CarrierRatePlans"),
        ({"CarrierRatePlanUpdate": "Plan B"}, "CarrierRatePlanUpdate"),
        ({"CarrierRatePlanUpdate": ["Plan B"]}, "CarrierRatePlanUpdate"),
    ],
)
def test_an_unknown_key_is_refused(extra: dict[str, object], field: str) -> None:
    assert faults({"provider": "att", "rate_plan": "x", **extra}) == [field]


@pytest.mark.parametrize(
    "wrong",
    [
        {"provider": 7},
        {"rate_plan": ["x"]},
        {"rate_plan": "x" * 201},
        {"rate_plan": "a\x1bb"},
        {"devices": ICCID},
        {"devices": {"0": ICCID}},
        {"devices": [[ICCID]]},
        {"devices": [True]},
        {"devices": [None]},
        {"service_provider_id": 1.5},
        {"service_provider_id": 2**63},
        {"change_type": "seven"},
        {"process_changes": "perhaps"},
        {"batch_size": 0},
        {"batch_size": 2001},
        {"batch_size": -1},
        {"priority": 101},
        {"invalid_rows": "ignore"},
        {"effective_date": 20261201},
        {"idempotency_key": "k" * 201},
        {"communication_plan": False},
    ],
    ids=str,
)
def test_a_value_of_the_wrong_kind_is_refused_by_its_field(wrong: dict[str, object]) -> None:
    (field,) = faults(wrong)
    assert str(field).split(".")[0] == next(iter(wrong))


def test_all_wrong_fields_are_named_at_once() -> None:
    assert set(faults({"rate_plan": 1, "batch_size": 0, "nonsense": 1, "devices": [None]})) == {
        "rate_plan",
        "batch_size",
        "nonsense",
        "devices.0",
    }


@pytest.mark.parametrize("data", [None, [], "x", 7, [EXISTING]])
def test_what_is_no_object_is_refused(data: object) -> None:
    with pytest.raises(RequestRejectedError) as rejected:
        parse_request(data)
    assert [(problem.code, problem.field) for problem in rejected.value.problems] == [("FIELD_INVALID", None)]


def test_the_rest_of_a_request_is_read_and_its_rows_stay_in_their_places() -> None:
    request = parse_request({**EXISTING, "Devices": [None, ICCID, {}], "nonsense": 1, "batch_size": "many"})
    assert (request.service_provider_id, request.rate_plan, request.devices) == (42, "Plan B", ("", ICCID, ""))
    assert [(fault.field, fault.row) for fault in request.faults] == [
        ("devices.0", 1),
        ("devices.2", 3),
        ("batch_size", None),
        ("nonsense", None),
    ]
    assert request.is_cut
    assert not parse_request({**EXISTING, "Devices": [None]}).is_cut


def test_the_digest_is_of_the_content_and_not_of_its_form() -> None:
    ours = {"service_provider_id": 42, "rate_plan": "Plan B", "devices": EXISTING["Devices"], "idempotency_key": "a"}
    turned = dict(reversed(ours.items()))
    digest = parse_request(ours).digest

    assert parse_request(turned).digest == digest
    assert parse_request({**EXISTING, "idempotency_key": "b"}).digest == digest
    assert len(digest) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"rate_plan": "Plan C"},
        {"communication_plan": "Comm"},
        {"devices": [ICCID]},
        {"effective_date": "2026-12-01"},
        {"process_changes": False},
        {"invalid_rows": "skip"},
    ],
)
def test_the_digest_tells_other_content_apart(change: dict[str, object]) -> None:
    base = {"provider": "att", "rate_plan": "Plan B", "devices": [ICCID, "8988216716970000002"]}
    assert parse_request(base).digest != parse_request({**base, **change}).digest


def test_the_request_is_kept_without_its_devices() -> None:
    kept = parse_request(EXISTING).without_devices
    assert kept["device_count"] == 2
    assert ICCID not in str(kept)
