"""Whom a scenario strikes and when, and the conditions that hold for all calls."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from m2m_pipeline.simulator.client import ControlError, SimulatorControl
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.simulator.conftest import ICCID, ICCIDS, NEW, OLD, THIRD, code_of, eventually, put_plan


def test_a_key_is_revoked_from_a_call_on(control: SimulatorControl, carrier: httpx.Client) -> None:
    control.start(Rule(name="key_revoked", skip_calls=2))
    assert [carrier.get("/echo/x").status_code for _ in range(4)] == [200, 200, 401, 401]


def test_a_limit_is_tightened_midway(control: SimulatorControl, carrier: httpx.Client) -> None:
    rule = control.start(Rule(name="limit_tightened", calls_per_second=3, skip_calls=4))
    answers = [carrier.get("/echo/x").status_code for _ in range(6)]
    # The four that passed before count in the second that the tightened limit looks back at.
    assert answers == [200, 200, 200, 200, 400, 400]
    control.stop(rule)
    assert carrier.get("/echo/x").status_code == 200
    assert [call.scenario for call in control.calls()] == [None] * 4 + ["limit_tightened"] * 2 + [None]


def test_a_rate_plan_is_retired_midway(control: SimulatorControl, carrier: httpx.Client) -> None:
    control.start(Rule(name="rate_plan_retired", rate_plan=NEW, skip_calls=1))
    assert put_plan(carrier).status_code == 200
    assert code_of(put_plan(carrier, iccid=ICCIDS[0])) == "10000013"
    assert put_plan(carrier, THIRD, ICCIDS[0]).status_code == 200
    assert [plan["name"] for plan in carrier.get("/rateplans").json()["ratePlans"]] == [OLD, THIRD]


@pytest.mark.parametrize("skew", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_skewed_clock_shows_in_date_updated_and_in_searches(
    control: SimulatorControl, carrier: httpx.Client, skew: timedelta
) -> None:
    control.start(Rule(name="clock_skew", skew_s=skew.total_seconds()))
    put_plan(carrier)
    shown = carrier.get(f"/devices/{ICCID}").json()["dateUpdated"]
    ours = datetime.now(UTC) + skew
    assert abs(datetime.strptime(shown, "%Y-%m-%d %H:%M:%S.%f%z") - ours) < timedelta(minutes=1)
    # A caller that searches since its own now misses the change if the carrier's clock is behind.
    now = f"{datetime.now(UTC) - timedelta(minutes=5):%Y-%m-%dT%H:%M:%SZ}"
    found = carrier.get("/devices", params={"modifiedSince": now}).json()["devices"]
    assert bool(found) is (skew > timedelta())


def listed(carrier: httpx.Client, page: int) -> list[str]:
    """The ICCIDs of a page of ten of the devices that were changed in the last hour."""
    since = f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    answer = carrier.get("/devices", params={"modifiedSince": since, "pageSize": 10, "pageNumber": page})
    return [device["iccid"] for device in answer.json()["devices"]]


def test_devices_that_someone_edits_between_two_pages_move_to_the_end(
    control: SimulatorControl, carrier: httpx.Client
) -> None:
    for iccid in ICCIDS[:20]:
        put_plan(carrier, iccid=iccid)
    control.start(Rule(name="list_moves", moved=3, calls=1))

    assert listed(carrier, 1) == [*ICCIDS[:10]]
    assert listed(carrier, 2) == [*ICCIDS[13:20], *ICCIDS[:3]]  # 10, 11 and 12 are on no page that was read
    assert len(control.changes()) == 20


def test_devices_of_one_second_come_in_another_order_on_each_page(
    control: SimulatorControl, carrier: httpx.Client
) -> None:
    control.start(Rule(name="list_unordered"))
    for iccid in ICCIDS[:20]:
        put_plan(carrier, iccid=iccid)

    first, again = listed(carrier, 1), listed(carrier, 1)
    assert first != again
    assert len({*first}) == len({*again}) == 10


def strikes(control: SimulatorControl, carrier: httpx.Client, rule: Rule, iccids: tuple[str, ...]) -> list[bool]:
    """Which of these PUTs are struck; the rule must be one that refuses."""
    control.start(rule)
    return [put_plan(carrier, iccid=iccid).is_error for iccid in iccids]


CHOICES: list[tuple[Callable[[], Rule], list[bool]]] = [
    (lambda: Rule(name="device_refused"), [True, True, True, True]),
    (lambda: Rule(name="device_refused", iccids=frozenset({ICCIDS[1]})), [False, True, False, True]),
    (lambda: Rule(name="device_refused", calls=3), [True, True, True, False]),
    (lambda: Rule(name="device_refused", skip_calls=1, calls=2), [False, True, True, False]),
    (lambda: Rule(name="device_refused", calls_per_device=1), [True, True, False, False]),
    (lambda: Rule(name="device_refused", methods=frozenset({"GET"})), [False, False, False, False]),
    (lambda: Rule(name="device_refused", begins_after_s=3600), [False, False, False, False]),
    (lambda: Rule(name="device_refused", lasts_s=3600), [True, True, True, True]),
]


@pytest.mark.parametrize(("rule", "struck"), CHOICES)
def test_a_rule_strikes_the_calls_it_chooses(
    control: SimulatorControl, carrier: httpx.Client, rule: Callable[[], Rule], struck: list[bool]
) -> None:
    assert strikes(control, carrier, rule(), (ICCIDS[0], ICCIDS[1], ICCIDS[0], ICCIDS[1])) == struck


def test_a_time_window_closes_by_itself(control: SimulatorControl, carrier: httpx.Client) -> None:
    control.start(Rule(name="device_refused", lasts_s=0.3))
    assert put_plan(carrier).is_error
    eventually(lambda: put_plan(carrier).is_success)


def test_a_share_of_the_calls_is_the_same_for_the_same_seed(control: SimulatorControl, carrier: httpx.Client) -> None:
    rule = Rule(name="device_refused", share=0.3, seed=7)
    first = strikes(control, carrier, rule, ICCIDS)
    control.reset()
    assert strikes(control, carrier, rule, ICCIDS) == first
    assert 5 <= sum(first) <= 35


def test_the_first_of_several_rules_strikes(control: SimulatorControl, carrier: httpx.Client) -> None:
    control.start(Rule(name="device_refused", calls=1))
    control.start(Rule(name="error500_not_applied"))
    assert [put_plan(carrier).status_code for _ in range(2)] == [400, 500]


@pytest.mark.parametrize(
    "rule",
    [
        Rule(name="no_such_trouble"),
        Rule(name="limit_tightened", share=0.5),
        Rule(name="clock_skew", skew_s=1, skip_calls=1),
        Rule(name="rate_plan_retired"),
    ],
)
def test_a_rule_that_cannot_be_put_in_force_is_refused(control: SimulatorControl, rule: Rule) -> None:
    with pytest.raises(ControlError, match=rule.name):
        control.start(rule)
