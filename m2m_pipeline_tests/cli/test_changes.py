"""Commands about bulk changes: what they print, and how they end."""

import csv
import json
import subprocess
from io import StringIO

import pytest

from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.cli.conftest import OURS, Shell
from m2m_pipeline_tests.world import NEW, OLD, PROVIDER, World

TO_NEW = ("--provider", PROVIDER, "--rate-plan", NEW, *OURS)


def sims(world: World) -> str:
    return "\n".join(["iccid", *world.iccids, ""])


def test_a_bulk_change_from_file_to_result(m2m: Shell, m2m_process: Shell, world: World) -> None:
    submitted = m2m_process("submit", m2m_process.file("sims.csv", sims(world)), *TO_NEW)
    assert (submitted.status, submitted.err) == (0, "")
    bulk_change_id = submitted.out.strip()

    waiting = m2m("status", bulk_change_id, *OURS)
    assert waiting.out.startswith(f"Bulk change {bulk_change_id}: QUEUED, 0 of 3 settled")
    world.run(int(bulk_change_id))
    told: dict[str, object] = json.loads(m2m("status", bulk_change_id, "--json", *OURS).out)
    assert (told["status"], told["total"], told["counts"]) == ("PROCESSED", 3, {"PROCESSED": 3})
    document: dict[str, object] = json.loads(m2m("result", bulk_change_id, "--format", "json", *OURS).out)
    assert document["carrier_calls"] == len(world.control.calls())

    table = m2m_process("result", bulk_change_id, "--format", "csv", *OURS)
    assert list(csv.reader(StringIO(table.out))) == [
        ["iccid", "status", "old_plan", "new_plan", "carrier_code", "message"],
        *([iccid, "PROCESSED", OLD, NEW, "", ""] for iccid in world.iccids),
    ]


def test_the_existing_systems_request_may_be_a_file(m2m: Shell, world: World) -> None:
    request = {
        "ServiceProviderId": world.provider.id,
        "ChangeType": 7,
        "ProcessChanges": False,
        "Devices": world.iccids,
        "CarrierRatePlanUpdate": {"CarrierRatePlan": NEW, "CommPlan": None, "EffectiveDate": None, "PlanUuid": "x"},
    }
    submitted = m2m("submit", m2m.file("request.json", json.dumps(request)), "--json", *OURS)
    told: dict[str, object] = json.loads(submitted.out)
    assert (told["status"], told["replayed"]) == ("NEW", False)

    first = m2m("process", str(told["id"]), *OURS)
    again = m2m("process", str(told["id"]), *OURS)
    assert (first.status, first.out.strip()) == (0, "QUEUED")
    assert (again.status, again.out) == (2, "")
    assert "only NEW ones can be processed" in again.err


def test_refused_devices_are_tried_again(m2m: Shell, world: World) -> None:
    world.trouble(Rule(name="device_refused", iccids=frozenset(world.iccids[:1])))
    bulk_change_id = str(world.submit().bulk_change_id)
    early = m2m("retry", bulk_change_id, *OURS)
    world.run(int(bulk_change_id))
    retried = m2m("retry", bulk_change_id, "--json", *OURS)
    again = m2m("retry", bulk_change_id, *OURS)

    assert (early.status, early.out) == (2, "")
    assert "only PARTIAL and FAILED ones can be retried" in early.err
    assert json.loads(retried.out) == {"id": int(bulk_change_id), "status": "QUEUED", "pending": 1, "held": 0}
    assert (again.status, again.out) == (2, "")


def test_a_rejected_request_says_every_reason_and_exits_with_2(m2m: Shell, world: World) -> None:
    name = m2m.file("sims.csv", f"iccid\n{world.iccids[0]}\n{world.iccids[0]}\n12\n8.98E+18\n")
    rejected = m2m("submit", name, "--provider", PROVIDER, "--rate-plan", "Nobody's", "--effective-date", "soon", *OURS)

    assert (rejected.status, rejected.out) == (2, "")
    assert "5 reasons" in rejected.err
    for word in ("Nobody's", "soon", "row 2", "row 3", "row 4", "m2m plans import"):
        assert word in rejected.err
    assert world.sql("SELECT count(*) FROM m2m.bulk_change") == [(0,)]


@pytest.mark.usefixtures("world")
def test_one_reason_is_one(m2m: Shell) -> None:
    assert "(1 reason)" in m2m("submit", m2m.file("sims.csv", "iccid\n12\n"), *TO_NEW).err


def test_a_rejection_as_json_has_its_problems(m2m: Shell, world: World) -> None:
    del world
    rejected = m2m("submit", m2m.file("sims.csv", "iccid\n12\n"), "--json", *TO_NEW)
    told: dict[str, object] = json.loads(rejected.err)
    assert (rejected.status, rejected.out, told["error"]) == (2, "", "RequestRejectedError")
    assert isinstance(told["problems"], list)
    assert told["problems"][0] == {
        "code": "ICCID_MALFORMED",
        "message": '"12" is not an ICCID (18 to 22 digits).',
        "field": "iccid",
        "value": "12",
        "row": 1,
        "reason": "malformed ICCID",
        "next_step": "Write the 18 to 22 digits of the ICCID, and nothing else.",
    }


def test_the_same_key_is_told_as_the_same_bulk_change(m2m: Shell, world: World) -> None:
    name = m2m.file("sims.csv", sims(world))
    first, again = (m2m("submit", name, "--idempotency-key", "k", "--json", *TO_NEW) for _ in range(2))
    one: dict[str, object] = json.loads(first.out)
    other: dict[str, object] = json.loads(again.out)
    assert (one["replayed"], other["replayed"], one["id"] == other["id"]) == (False, True, True)


@pytest.mark.parametrize(("scenario", "status", "code"), [(None, "PROCESSED", 0), ("device_refused", "PARTIAL", 1)])
def test_waiting_ends_with_the_bulk_change_and_tells_by_its_status(
    m2m_process: Shell, world: World, scenario: str | None, status: str, code: int
) -> None:
    if scenario:
        world.trouble(Rule(name=scenario, iccids=frozenset({world.iccids[0]})))
    with m2m_process.start("submit", m2m_process.file("sims.csv", sims(world)), "--wait", "--json", *TO_NEW) as waiting:
        while not (queued := world.services.queue.head()):
            with pytest.raises(subprocess.TimeoutExpired):
                waiting.wait(0.05)
        world.run(queued[0].id)
        out, err = waiting.communicate(timeout=60)

    document: dict[str, object] = json.loads(out)
    assert (waiting.returncode, document["status"], err) == (code, status, "")


@pytest.mark.parametrize("command", ["status", "result", "process", "withdraw"])
def test_a_bulk_change_of_another_tenant_does_not_exist(m2m: Shell, world: World, command: str) -> None:
    bulk_change_id = world.submit(process_changes=False).bulk_change_id
    ended = m2m(command, str(bulk_change_id), "--tenant", "rival")
    assert (ended.status, ended.out) == (2, "")
    assert f"no bulk change {bulk_change_id} for this tenant" in ended.err


def test_what_a_spreadsheet_would_run_is_disarmed(m2m: Shell, world: World) -> None:
    hostile = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\tx"]
    bulk_change_id = world.submit([*hostile, world.iccids[0]], invalid_rows="skip").bulk_change_id
    table = m2m("result", str(bulk_change_id), "--format", "csv", *OURS)

    cells = [cell for row in csv.reader(StringIO(table.out)) for cell in row]
    assert f"'{hostile[0]}" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_names_that_look_like_markup_are_printed_as_they_are(m2m: Shell, world: World) -> None:
    odd = "[/bold] Plan [red]B[/]"
    world.services.accounts.import_plans(world.provider, [odd], [])
    submitted = world.submit([world.iccids[0], "[/]", "\x1b[2J"], rate_plan=odd, invalid_rows="skip")
    world.run(submitted.bulk_change_id)
    shown = m2m("result", str(submitted.bulk_change_id), *OURS)

    assert (shown.status, shown.err) == (0, "")
    assert odd in shown.out
    assert "\x1b[2J" not in shown.out


def test_a_file_that_is_not_there_is_a_rejection(m2m: Shell) -> None:
    ended = m2m("submit", "nowhere.csv", *TO_NEW)
    assert (ended.status, ended.out) == (2, "")
    assert "nowhere.csv cannot be read" in ended.err
