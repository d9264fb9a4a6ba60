"""Pointers: each leads to what is wrong in the body that was sent, or to where in it something is missing."""

from typing import Any, cast

import pytest

from m2m_pipeline_tests.web.door import Door
from m2m_pipeline_tests.world import NEW

CHANGES = "/api/v1/bulk-changes"
ICCID = "8988216716970000001"
UPDATE = {"CarrierRatePlan": NEW}


def followed(body: object, pointer: str) -> bool:
    """Whether a pointer (RFC 6901) leads to something, or names a member that an object lacks."""
    _, *steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")]
    *way, last = steps
    for step in way:
        body = cast("Any", body)[int(step) if isinstance(body, list) else step]
    return isinstance(body, dict) or (isinstance(body, list) and int(last) < len(cast("list[object]", body)))


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"provider": "att", "rate_plan": "No", "devices": [ICCID, None]}, {"/devices/1"}),
        ({"provider": "no", "rate_plan": NEW, "devices": ["12"]}, {"/provider", "/devices/0"}),
        ({"service_provider_id": 4711, "rate_plan": NEW, "devices": ["12"]}, {"/service_provider_id", "/devices/0"}),
        ({"a/b": 1, "c~d": 2, "e.f": 3, "~1": 4}, {"/a~1b", "/c~0d", "/e.f", "/~01"}),
        ({"devices": {"a": 1}}, {"/devices"}),
        ({}, {"/provider", "/rate_plan", "/devices"}),
        ({"ServiceProviderId": 1, "Devices": [ICCID, None]}, {"/Devices/1"}),
        ({"Devices": [ICCID], "CarrierRatePlanUpdate": {"Foo": 1, "a/b": 2}},
         {"/CarrierRatePlanUpdate/Foo", "/CarrierRatePlanUpdate/a~1b"}),
        ({"ServiceProviderId": "no", "Devices": ["12"], "CarrierRatePlanUpdate": UPDATE},
         {"/ServiceProviderId", "/Devices/0"}),
        ({"ServiceProviderId": 4711, "Devices": [ICCID], "CarrierRatePlanUpdate": UPDATE}, {"/ServiceProviderId"}),
        ({"ServiceProvider": "att", "Devices": [ICCID], "CarrierRatePlanUpdate": None}, {"/CarrierRatePlanUpdate"}),
        ({"ServiceProvider": "att", "Devices": [ICCID], "CarrierRatePlanUpdate": {}},
         {"/CarrierRatePlanUpdate/CarrierRatePlan"}),
        ({"ServiceProvider": "att", "Devices": [ICCID], "CarrierRatePlanUpdate": 7}, {"/CarrierRatePlanUpdate"}),
        ({"Devices": [ICCID], "CarrierRatePlanUpdate": {"EffectiveDate": "x" * 41}},
         {"/CarrierRatePlanUpdate/EffectiveDate"}),
        ({"ServiceProvider": "att", "Devices": [ICCID], "rate_plan": "No"}, {"/rate_plan"}),
    ],
)  # fmt: skip
def test_every_pointer_resolves_in_the_body_that_was_sent(
    door: Door, body: dict[str, object], pointers: set[str]
) -> None:
    errors = door.as_().post(CHANGES, json=body).json()["errors"]
    told = {error["pointer"] for error in errors}
    assert pointers <= told
    assert all(followed(body, pointer) for pointer in told), told
