"""Limits are exact, and the ledger counts what happened."""

from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from m2m_pipeline.simulator.client import ControlError, SimulatorControl
from m2m_pipeline.simulator.documents import AccountLimits, Device, Drift, LedgerCall
from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.simulator.conftest import (
    ICCID,
    ICCIDS,
    NEW,
    OLD,
    THIRD,
    USER,
    WORLD,
    code_of,
    eventually,
    put_plan,
)


def admissions_by_the_rule(calls: Iterable[LedgerCall], calls_per_second: int) -> list[bool]:
    """What a limit on any sliding second must have answered to calls at these moments."""
    admitted: deque[float] = deque()
    answers: list[bool] = []
    for call in calls:
        recent = [start for start in admitted if start > call.start - 1]
        answers.append(len(recent) < calls_per_second)
        if answers[-1]:
            admitted.append(call.start)
    return answers


def test_a_limit_of_calls_per_second_is_exact_over_every_sliding_second(
    control: SimulatorControl, carrier: httpx.Client
) -> None:
    control.set_limits(AccountLimits(account="amop", calls_per_second=40))
    while not (calls := control.calls()) or calls[-1].start - calls[0].start < 2.5:
        for _ in range(20):
            carrier.get("/echo/x")
    assert [call.status == 200 for call in calls] == admissions_by_the_rule(calls, 40)
    assert {call.error_code for call in calls} == {None, "40000029"}
    assert sum(call.status == 200 for call in calls) >= 80


def test_a_refusal_by_the_limit_has_the_configured_status_and_header(
    control: SimulatorControl, carrier: httpx.Client
) -> None:
    control.set_limits(AccountLimits(calls_per_second=1, error_status=429, retry_after_s=2))
    assert put_plan(carrier).status_code == 200
    refused = put_plan(carrier, THIRD)
    assert (refused.status_code, code_of(refused), refused.headers["Retry-After"]) == (429, "40000029", "2")
    assert len(control.changes()) == 1


def test_a_limit_is_the_accounts_own(control: SimulatorControl, carrier: httpx.Client) -> None:
    control.set_limits(AccountLimits(account="amop", calls_per_second=1))
    answers = [carrier.get("/echo/x", auth=user).status_code for user in (USER, USER, ("clerk", "clerk-key"))]
    assert answers == [200, 400, 200]


def test_a_limit_of_calls_in_flight_is_exact(control: SimulatorControl, url: str) -> None:
    control.set_limits(AccountLimits(in_flight=3))
    control.set_latency(700, 700)
    with (
        httpx.Client(base_url=f"{url}/rws/api/v1", auth=USER, trust_env=False) as carrier,
        ThreadPoolExecutor(8) as threads,
    ):
        answers = list(threads.map(carrier.get, ["/echo/x"] * 8))
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [400] * 5
    assert {call.error_code for call in control.calls()} == {None, "40000029"}
    assert control.summary().open_calls == 0


def test_the_latency_is_within_its_range(control: SimulatorControl, carrier: httpx.Client) -> None:
    control.set_latency(20, 60)
    for _ in range(5):
        carrier.get("/echo/x")
    durations = [call.end - call.start for call in control.calls() if call.end is not None]
    assert len(durations) == 5
    assert min(durations) >= 0.02
    assert max(durations) - min(durations) > 0.001


def test_a_call_is_recorded_with_all_its_facts(control: SimulatorControl, carrier: httpx.Client) -> None:
    put_plan(carrier)
    carrier.get("/devices", params={"modifiedSince": "2026-01-01T00:00:00Z"})
    put, search = control.calls()
    assert (put.n, put.method, put.path) == (1, "PUT", f"/rws/api/v1/devices/{ICCID}")
    assert (put.iccid, put.account, put.status, put.scenario, put.in_flight) == (ICCID, "amop", 200, None, 1)
    assert (search.path, search.iccid) == ("/rws/api/v1/devices", None)
    assert search.query == "modifiedSince=2026-01-01T00%3A00%3A00Z"
    assert put.end is not None
    assert put.start <= put.end <= search.start


def test_the_ledger_is_read_on_from_a_number(control: SimulatorControl, carrier: httpx.Client) -> None:
    for iccid in ICCIDS[:5]:
        put_plan(carrier, iccid=iccid)
    assert [call.n for call in control.calls(after=3)] == [4, 5]
    assert [change.n for change in control.changes(after=4)] == [5]


def test_the_summary_counts(control: SimulatorControl, carrier: httpx.Client) -> None:
    put_plan(carrier, NEW)
    put_plan(carrier, NEW)
    put_plan(carrier, THIRD)
    put_plan(carrier, NEW, ICCIDS[0])
    put_plan(carrier, "No such plan")
    carrier.get("/echo/x")
    summary = control.summary()
    assert (summary.calls, summary.changes, summary.open_calls) == (6, 3, 0)
    assert summary.by_method == {"PUT": {"200": 4, "400": 1}, "GET": {"200": 1}}
    assert summary.changed_more_than_once == {ICCID: 2}
    assert summary.max_calls_in_a_second == {"amop": 6}
    assert summary.max_in_flight == {"amop": 1}


def test_concurrent_calls_show_in_the_ledger(control: SimulatorControl, url: str) -> None:
    control.set_latency(400, 400)
    with (
        httpx.Client(base_url=f"{url}/rws/api/v1", auth=USER, trust_env=False) as carrier,
        ThreadPoolExecutor(6) as threads,
    ):
        list(threads.map(put_plan, [carrier] * 6, [NEW] * 6, ICCIDS[:6]))
    assert control.summary().max_in_flight == {"amop": 6}
    assert [call.in_flight for call in control.calls()] == [1, 2, 3, 4, 5, 6]


def test_drift_changes_a_device_behind_everyones_back(control: SimulatorControl, carrier: httpx.Client) -> None:
    control.drift(ICCID, Drift(rate_plan=THIRD))
    assert carrier.get(f"/devices/{ICCID}").json()["ratePlan"] == THIRD
    (change,) = control.changes()
    assert (change.call, change.from_plan, change.to_plan) == (None, OLD, THIRD)
    with pytest.raises(ControlError, match="no device"):
        control.drift("8988000000000000000", Drift(rate_plan=THIRD))
    with pytest.raises(ControlError, match="no such plan"):
        control.drift(ICCID, Drift(rate_plan="No such plan"))


def test_a_reset_empties_the_ledger_and_keeps_the_devices(control: SimulatorControl, carrier: httpx.Client) -> None:
    put_plan(carrier)
    control.reset()
    assert control.calls() == []
    assert control.changes() == []
    assert carrier.get(f"/devices/{ICCID}").json()["ratePlan"] == NEW
    assert control.calls()[0].n == 1


def test_a_change_that_outlives_a_reset_names_no_call(control: SimulatorControl, carrier: httpx.Client) -> None:
    control.start(Rule(name="accepted_202_applied_later", delay_s=0.2))
    put_plan(carrier)
    control.reset()
    eventually(lambda: len(control.changes()) == 1)
    assert control.changes()[0].call is None


def test_a_device_that_the_world_cannot_hold_is_refused(control: SimulatorControl) -> None:
    lost = Device(iccid=ICCID, rate_plan="Nowhere", communication_plan="Comm Old", account="nobody")
    world = WORLD.model_copy(update={"devices": (lost, lost)})  # a copy is not validated: the simulator has to
    with pytest.raises(ControlError, match=r"appears 2 times.*rate plan 'Nowhere'.*account 'nobody'"):
        control.replace_world(world)


def test_an_unknown_control_request_is_refused(url: str, control: SimulatorControl) -> None:
    assert control.calls() == []
    for method, path in (("GET", "/_control/nothing"), ("POST", "/_ledger/calls"), ("DELETE", "/_control/scenarios/9")):
        assert httpx.request(method, url + path, trust_env=False).status_code == 404
    assert httpx.get(f"{url}/_ledger/calls?after=x", trust_env=False).status_code == 400
