"""A new bulk change, from the form to the row: nothing before the confirmation, and one thing after it."""

import re
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline.web.page.making import pasted
from m2m_pipeline_tests.page.visitors import Visitor, draft_of, visitor
from m2m_pipeline_tests.web.door import Door
from m2m_pipeline_tests.world import NEW, OLD, PROVIDER, TENANT, World, iccids


@pytest.fixture
def operator(door: Door) -> Generator[Visitor]:
    with visitor(door.url) as known:
        yield known


def test_the_preview_counts_what_would_happen(operator: Visitor, world: World) -> None:
    world.import_devices(world.iccids[:2], NEW)
    world.submit(world.iccids[5:6], process_changes=False)
    seen = operator.get(draft_of(operator, *world.iccids[:6], "123")).text
    assert "<dt>would be changed</dt><dd>3</dd>" in seen
    assert "<dt>already on the plan</dt><dd>2</dd>" in seen
    assert "<dt>rows at fault</dt><dd>2</dd>" in seen
    assert world.count("bulk_change") == 1


def test_fifty_confirmations_at_once_make_one_bulk_change(operator: Visitor, world: World) -> None:
    draft, token = draft_of(operator, *world.iccids[:3]), operator.token()
    with ThreadPoolExecutor(10) as people:
        fields = {"form_token": token, "start": "later"}
        answers = list(people.map(operator.post_bare, [draft] * 50, [fields] * 50))
    assert {answer.headers["Location"] for answer in answers} == {"/changes/1"}
    assert world.count("bulk_change") == 1
    assert operator.get(draft).headers["Location"] == "/changes/1"


def test_what_was_recorded_is_never_told_as_nothing_whatever_becomes_of_the_draft(
    operator: Visitor, world: World
) -> None:
    draft = draft_of(operator, *world.iccids[:3])
    world.sql(
        "CREATE FUNCTION m2m.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;"
        "CREATE TRIGGER fail BEFORE UPDATE ON m2m.page_draft FOR EACH ROW EXECUTE FUNCTION m2m.fail()"
    )
    for start in ("later", "now"):
        assert operator.post(draft, {"start": start}).headers.get("Location") == "/changes/1"
    assert operator.get(draft).headers["Location"] == "/changes/1"
    assert world.sql("SELECT status FROM m2m.bulk_change") == [("NEW",)]


def test_what_changed_since_the_preview_is_told_and_nothing_recorded(operator: Visitor, world: World) -> None:
    draft = draft_of(operator, *world.iccids[:3])
    assert "rows at fault</dt><dd>0" in operator.get(draft).text
    world.submit(world.iccids[:1], process_changes=False)
    answer = operator.post(draft, {"start": "now"})
    assert answer.status_code == 400
    assert "Nothing was recorded" in answer.text
    assert "is held by bulk change 1" in answer.text
    assert world.count("bulk_change") == 1


def test_only_recorded_is_started_by_its_button_and_the_audit_log_tells_by_whom(
    operator: Visitor, world: World
) -> None:
    operator.post(draft_of(operator, world.iccids[0]), {"start": "later"})
    assert "Start the change of 1 SIM<" in operator.get("/changes/1").text
    assert operator.post("/changes/1/start").headers["Location"] == "/changes/1"
    assert world.sql("SELECT status FROM m2m.bulk_change") == [("QUEUED",)]
    assert operator.post("/changes/1/start").status_code == 409
    others = world.submit(world.iccids[1:2], process_changes=False).bulk_change_id
    operator.post(f"/changes/{others}/start")
    told = world.sql("SELECT kind, actor FROM m2m.audit_entry WHERE bulk_change_id = %s ORDER BY id", others)
    assert told == [("REQUEST_RECORDED", "tester"), ("PROCESSING_REQUESTED", "developer")]


def test_a_file_that_cannot_be_read_is_told_with_the_form_as_it_was(operator: Visitor, world: World) -> None:
    token = operator.token()
    fields = {"form_token": token, "provider": PROVIDER, "rate_plan": OLD}
    file = {"file": ("sims.csv", "iccid\n1\n".encode("utf-16"), "text/csv")}
    answer = operator.client.post("/new", data=fields, files=file, headers={"Origin": operator.origin})
    assert answer.status_code == 400
    assert "is not UTF-8 (UTF-16)" in answer.text
    assert f"<option selected>{OLD}</option>" in answer.text
    assert world.count("page_draft") == 0


def test_a_line_with_too_many_cells_is_a_row_at_fault_that_can_be_left_out(operator: Visitor, world: World) -> None:
    good, bad = world.iccids[:2]
    fields = {"form_token": operator.token(), "provider": PROVIDER, "rate_plan": NEW}
    file = {"file": ("sims.csv", f"iccid\n{bad},9\n{good}\n".encode(), "text/csv")}
    kept = operator.client.post("/new", data=fields, files=file, headers={"Origin": operator.origin})
    draft = kept.headers["Location"]
    assert "sims.csv, line 2: 2 cells under 1 column names." in operator.get(draft).text
    assert f'1,"{bad},9",malformed file' in operator.get(f"{draft}/rejects.csv").text
    assert operator.post(draft, {"start": "later", "invalid_rows": "skip"}).headers["Location"] == "/changes/1"
    assert world.sql("SELECT status FROM m2m.device_change ORDER BY row_number") == [("REFUSED",), ("PENDING",)]


@pytest.mark.parametrize(
    ("name", "told"),
    [("\0\x1b", "the file"), ("\0\x1b[31m", "[31m"), ("long" * 900 + "\0", "long" * 15 + "…")],
    ids=["unprintable", "colourful", "long"],
)
def test_whatever_a_file_is_called_its_faults_can_be_kept_and_read(
    operator: Visitor, world: World, name: str, told: str
) -> None:
    fields = {"form_token": operator.token(), "provider": PROVIDER, "rate_plan": NEW}
    parts = [f'name="{field}"\r\n\r\n{value}' for field, value in fields.items()]
    parts.append(f'name="file"; filename="{name}"\r\n\r\niccid\n{world.iccids[0]},9\n')
    body = "".join(f"--b\r\nContent-Disposition: form-data; {part}\r\n" for part in parts) + "--b--\r\n"
    head = {"Origin": operator.origin, "Content-Type": "multipart/form-data; boundary=b"}
    kept = operator.client.post("/new", content=body.encode(), headers=head)
    assert kept.status_code == 303, kept.text
    assert f'"{told}, line 2: 2 cells' in operator.get(f"{kept.headers['Location']}/rejects.csv").text


@pytest.mark.parametrize("header", ["", "ICCID\n", "SIM\n", "sim_number\r\n", "ICC-ID;"])
@pytest.mark.parametrize("between", ["\n", "\r\n", " ", "\t", ", ", ";", "\n\n"])
def test_pasted_iccids_are_rows_whatever_stands_between_and_above_them(header: str, between: str) -> None:
    assert pasted(header + between.join(iccids(3))) == list(iccids(3))


def test_what_was_pasted_and_is_no_iccid_is_told_as_it_was_written() -> None:
    assert pasted("8988 2167 1697 0000 001\nSIM\n12") == ["8988 2167 1697 0000 001", "SIM", "12"]


def test_a_file_beside_pasted_iccids_is_refused_for_its_rows_would_be_counted_on(
    operator: Visitor, world: World
) -> None:
    fields = {"form_token": operator.token(), "provider": PROVIDER, "rate_plan": NEW, "iccids": world.iccids[0]}
    file = {"file": ("sims.csv", f"iccid\n{world.iccids[1]}\n".encode(), "text/csv")}
    answer = operator.client.post("/new", data=fields, files=file, headers={"Origin": operator.origin})
    assert answer.status_code == 400
    assert "sims.csv and 1 pasted ICCIDs came together. Empty the field, or choose no file." in answer.text
    assert world.count("page_draft") == 0


def test_a_session_keeps_five_drafts_and_ends_with_them(operator: Visitor, world: World) -> None:
    drafts = [draft_of(operator, one) for one in world.iccids[:6]]
    assert operator.get(drafts[0]).status_code == 404
    assert operator.get(drafts[1]).status_code == 200
    operator.post("/sign-out")
    assert world.count("page_draft") == 0


def test_progress_is_told_as_it_happens(operator: Visitor, world: World) -> None:
    bulk_change_id = world.submit().bulk_change_id
    with operator.client.stream("GET", f"/changes/{bulk_change_id}/events") as events:
        lines = events.iter_lines()
        assert '"headline": "0 of 60 SIMs settled"' in next(lines)
        world.run(bulk_change_id)
        assert "event: end" in lines


def test_the_first_tick_says_the_speed_that_the_page_was_loaded_with(operator: Visitor, world: World) -> None:
    bulk_change_id = world.half_done(Rule(name="hang", calls=1, skip_calls=10_000))
    world.sql("UPDATE m2m.bulk_change SET started_at = clock_timestamp() - interval '10 seconds'")
    said = re.compile(r"\d(\.\d)? SIMs a second")
    assert said.search(operator.get(f"/changes/{bulk_change_id}").text)
    with operator.client.stream("GET", f"/changes/{bulk_change_id}/events") as events:
        assert said.search(next(events.iter_lines()))


def test_the_runs_in_dagster_are_a_click_away(operator: Visitor, world: World) -> None:
    done, _ = world.submit_and_run(world.iccids[:1])
    address = f"https://dagster.example.com/runs?q%5B0%5D=tag%3Am2m%2Fbulk_change%3D{done.id}"
    assert address in operator.get(f"/changes/{done.id}").text


def test_refused_devices_are_tried_again_by_a_button(operator: Visitor, world: World) -> None:
    world.trouble(Rule(name="device_refused", iccids=frozenset(world.iccids[:1])))
    done, _ = world.submit_and_run(world.iccids[:2])
    assert "Try the refused SIMs again" in operator.get(f"/changes/{done.id}").text
    operator.post(f"/changes/{done.id}/retry")
    assert world.sql("SELECT status FROM m2m.bulk_change") == [("QUEUED",)]


def test_what_nobody_has_started_is_started_or_withdrawn_by_a_button(operator: Visitor, world: World) -> None:
    started, withdrawn = (world.submit([iccid], process_changes=False).bulk_change_id for iccid in world.iccids[:2])
    for change in (started, withdrawn):
        shown = operator.get(f"/changes/{change}").text
        assert "Start the change of 1 SIM" in shown
        assert "Withdraw it" in shown
    operator.post(f"/changes/{started}/start")
    operator.post(f"/changes/{withdrawn}/withdraw")
    assert world.sql("SELECT status FROM m2m.bulk_change ORDER BY id") == [("QUEUED",), ("REJECTED",)]
    ended = operator.get(f"/changes/{withdrawn}").text
    assert "Withdrawn by" in ended
    assert "Start the change" not in ended
    assert "Withdraw it" not in ended


def test_what_holds_an_account_up_is_told_on_every_page(operator: Visitor, world: World) -> None:
    settings = replace(world.provider_settings(), writes_enabled=False)
    world.services.accounts.configure(TENANT, PROVIDER, settings, "test")
    draft = draft_of(operator, world.iccids[0])
    change = world.submit(world.iccids[1:2], process_changes=False).bulk_change_id
    for path in ("/", "/new", "/accounts", draft, f"/changes/{change}"):
        assert "Changes are switched off for this account" in operator.get(path).text, path
