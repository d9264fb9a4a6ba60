"""The page as people use it: in a real browser, from sign-in to the result."""

import csv
import re
import threading
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from m2m_pipeline.domain.permissions import Role
from m2m_pipeline_tests.page.chromium import Person, person, picture
from m2m_pipeline_tests.page.steps import confirm, prepare, run
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.web.door import RIVAL, Door, open_door
from m2m_pipeline_tests.world import NEW, PROVIDER, TENANT, Options, World, iccids

pytestmark = pytest.mark.xdist_group("browser")

HELD = 59
"""Of this device another bulk change is recorded."""
MISTAKES = {
    "8.98822E+18": "rounded number",
    "123": "not an ICCID",
    "8988216716970000001999999": "not an ICCID",
    "898821671697000000x": "not an ICCID",
    "8988 2167 1697 0000 001": "not an ICCID",
    "'8988216716970000001": "not an ICCID",
    '=HYPERLINK("http://evil.example")': "not an ICCID",
    "<script>alert(1)</script>": "not an ICCID",
    "٨٩٨٨٢١٦٧١٦٩٧٠٠٠٠٠٠١": "not an ICCID",
    "898821671697000000000": "rounded to 15 digits",
    "8988216716970099999": "not in this provider's inventory",
    iccids(1)[0]: "stands in row 1 already",
    iccids(HELD + 1)[HELD]: "is held by bulk change",
    "": "The ICCID is empty",
}
"""What people's files hold, and what they are told of it."""


def test_a_new_user_gets_from_a_file_full_of_mistakes_to_the_result(
    operator: Person, world: World, tmp_path: Path
) -> None:
    world.submit([world.iccids[HELD]], process_changes=False)
    good = world.iccids[:HELD]
    lines = ["SIM;Note", *(f'{one};"mine; really"' for one in good)]
    quoted = [one.replace('"', '""') for one in MISTAKES]
    sims = ("\r\n".join([*lines, *(f'"{one}";' for one in quoted), f"{good[1]};end"]) + "\r\n").encode("utf-8-sig")

    operator.follow("New change")
    file = {"name": "sims.csv", "mimeType": "text/csv", "buffer": sims}
    operator.page.get_by_label("CSV file").set_input_files(file)  # pyright: ignore[reportArgumentType] -- a dict of that shape
    operator.page.get_by_label("Rate plan", exact=True).select_option(NEW)
    operator.press("Check what would happen")

    rows = operator.page.locator("tbody tr")
    expect(rows).to_have_count(len(MISTAKES) + 1)
    for place, (value, told) in enumerate(MISTAKES.items()):
        cells = rows.nth(place).locator("th, td").all_inner_texts()
        assert cells[0] == str(HELD + 1 + place)
        assert cells[1] == (value or "empty")
        assert told in cells[2]
        assert cells[3]
    assert world.count("bulk_change") == 1, "nothing is recorded before the confirmation"
    picture(operator.page, "preview", height=1160)

    with operator.page.expect_download() as download:
        operator.follow("Download all as CSV")
    download.value.save_as(tmp_path / "rejects.csv")
    with (tmp_path / "rejects.csv").open(encoding="utf-8", newline="") as out:
        rejects = list(csv.DictReader(out))
    assert [one["iccid"].removeprefix("'") for one in rejects][:-1] == [one.removeprefix("'") for one in MISTAKES]
    assert not any(one["iccid"].startswith("=") for one in rejects)

    operator.page.get_by_label("All or nothing").check()
    operator.press("Confirm the change")
    operator.sees("Nothing was recorded.")
    assert world.count("bulk_change") == 1

    operator.page.get_by_label("Leave them out").check()
    bulk_change_id = confirm(operator)
    operator.sees("Queued")
    operator.page.reload()
    operator.sees("Queued")
    run(world, bulk_change_id)
    operator.sees("Partly done")
    operator.sees("59 Changed")
    operator.sees("9 malformed ICCID")
    picture(operator.page, "result", height=1000)

    with operator.page.expect_download() as download:
        operator.follow("Result as CSV")
    download.value.save_as(tmp_path / "result.csv")
    assert (tmp_path / "result.csv").read_text().count("PROCESSED") == HELD
    operator.page.get_by_role("link", name="59 Changed").click()
    operator.page.get_by_role("link", name=good[0]).first.click()
    operator.sees("What became of")
    operator.sees(f"Change #{bulk_change_id}")


def test_progress_moves_by_itself_and_survives_a_reload(chromium: Browser, make_world: MakeWorld) -> None:
    world = make_world(Options(devices=60, calls_per_second=8.0))
    with open_door(world, dev_sign_in=True) as door, person(chromium, door.url) as somebody:
        somebody.sign_in()
        prepare(somebody, *world.iccids)
        bulk_change_id = confirm(somebody)
        runner = threading.Thread(target=world.run, args=[bulk_change_id])
        runner.start()
        somebody.sees("Running")
        somebody.sees("left")
        somebody.sees("SIMs a second")
        assert all("SIMs a second" in said for said in somebody.page.evaluate(_SPEEDS))
        picture(somebody.page, "progress", height=560)
        somebody.page.reload()
        expect(somebody.page).to_have_title(re.compile(r"Change #1: Running \d+ % · m2m"))
        assert all("SIMs a second" in said for said in somebody.page.evaluate(_SPEEDS))
        somebody.sees("Done")
        runner.join()
        assert "60 Changed" in somebody.text
        assert somebody.complaints == []


def test_a_file_that_is_too_large_is_told_in_the_page(operator: Person, world: World, tmp_path: Path) -> None:
    large = tmp_path / "sims.csv"
    large.write_bytes(b"iccid\n" + b"8988216716970000001\n" * 2_000_000)  # 40 MB
    operator.open("/new")
    operator.page.get_by_label("CSV file").set_input_files(large)
    operator.page.get_by_label("Rate plan", exact=True).select_option(NEW)
    operator.press("Check what would happen")
    operator.sees("The body is too long")
    operator.sees("Split the request.")
    assert world.count("page_draft") == 0


_SPEEDS = """() => new Promise((told) => {
  const [speed, meter] = [document.querySelector("[data-live=speed]"), document.querySelector("[role=progressbar]")];
  const seen = [speed.textContent];
  new MutationObserver(() => {
    seen.push(speed.textContent);
    if (seen.length === 3) told(seen);
  }).observe(meter, { attributes: true });
})"""
"""What is said of the speed now and after each of two ticks."""


def test_a_confirmation_sent_twice_and_again_from_the_history_makes_one_change(operator: Person, world: World) -> None:
    prepare(operator, *world.iccids[:3])
    preview = operator.page.url
    operator.page.get_by_role("button", name="Confirm the change").dblclick()
    operator.page.wait_for_url("**/changes/*")
    made = operator.page.url

    operator.page.go_back()
    operator.page.goto(preview)
    assert operator.page.url == made
    operator.page.reload()
    assert world.count("bulk_change") == 1


def test_a_file_that_is_dropped_is_taken(operator: Person, world: World) -> None:
    operator.open("/new")
    dropped = operator.page.evaluate_handle(
        """(content) => {
            const held = new DataTransfer();
            held.items.add(new File([content], "dropped.csv", { type: "text/csv" }));
            return held;
        }""",
        "\n".join(["iccid", *world.iccids[:7]]),
    )
    zone = operator.page.locator("[data-drop]")
    for kind in ("dragenter", "dragover", "drop"):
        zone.dispatch_event(kind, {"dataTransfer": dropped})
    expect(zone.locator("[data-told]")).to_have_text("dropped.csv, 1 kB")
    operator.page.get_by_label("Rate plan", exact=True).select_option(NEW)
    operator.press("Check what would happen")
    operator.sees("Check before anything happens")
    assert "7 SIMs" in operator.text


def test_the_keyboard_alone_is_enough_from_the_sign_in_to_the_result(
    chromium: Browser, door: Door, world: World
) -> None:
    with person(chromium, door.url) as somebody:
        somebody.open("/sign-in")
        _by_keyboard(somebody, world)
        assert somebody.complaints == []


def _by_keyboard(operator: Person, world: World) -> None:
    keys = operator.page.keyboard

    def tab_to(name: str) -> None:
        for _ in range(40):
            keys.press("Tab")
            # In one look, for a page may be left between two; and its whole text begins as its first link does.
            focused, outline = operator.page.evaluate(
                """() => {
                    const e = document.activeElement;
                    if (e === document.body) return ["", ""];
                    return [(e.labels?.[0] ?? e).textContent.trim(), getComputedStyle(e).outlineStyle];
                }"""
            )
            if focused.startswith(name):
                assert outline != "none", f"one sees that {name} has the focus"
                return
        pytest.fail(f"{name} cannot be reached with the keyboard")

    # Dialogs are intercepted from now on: begun with the wait, that may come after the key which opens one.
    operator.page.on("filechooser", lambda _: None)
    tab_to("Company")
    keys.type(TENANT)
    tab_to("Operator")
    tab_to("Sign in")
    keys.press("Enter")
    operator.page.wait_for_url(operator.url + "/")
    tab_to("Skip to the content")
    keys.press("Enter")
    tab_to("Make the first change")
    keys.press("Enter")
    operator.sees("Which SIMs, and which plan?")
    tab_to("CSV file")
    with operator.page.expect_file_chooser() as chooser:
        keys.press("Enter")
    sims = "\n".join(["iccid", world.iccids[0], "123"]).encode()
    chooser.value.set_files({"name": "sims.csv", "mimeType": "text/csv", "buffer": sims})  # pyright: ignore[reportArgumentType] -- a dict of that shape
    tab_to("Rate plan")
    keys.type(NEW)
    tab_to("Check what would happen")
    keys.press("Enter")
    operator.sees("Check before anything happens")
    tab_to("Leave them out")
    keys.press("Space")
    expect(operator.page.get_by_label("Leave them out")).to_be_checked()
    tab_to("Confirm the change")
    keys.press("Enter")
    operator.page.wait_for_url("**/changes/1")
    run(world, 1)
    operator.sees("Partly done")
    tab_to("Result as CSV")
    with operator.page.expect_download() as download:
        keys.press("Enter")
    assert download.value.suggested_filename == "change-1-result.csv"


def test_it_works_without_a_script(chromium: Browser, door: Door, world: World) -> None:
    with person(chromium, door.url, java_script_enabled=False) as somebody:
        somebody.sign_in()
        prepare(somebody, *world.iccids[:2])
        bulk_change_id = confirm(somebody)
        assert somebody.page.locator("noscript meta[http-equiv=refresh]").count() == 1
        run(world, bulk_change_id)
        somebody.sees("Done")


def test_two_companies_side_by_side_see_nothing_of_each_other(chromium: Browser, door: Door, world: World) -> None:
    own = world.submit(world.iccids[:2]).bulk_change_id
    with person(chromium, door.url) as ours, person(chromium, door.url) as theirs:
        ours.sign_in()
        theirs.sign_in(tenant=RIVAL)
        ours.sees(f"#{own}")
        theirs.sees("rival has no carrier account yet")
        for path in (f"/changes/{own}", f"/changes/{own}/devices", f"/changes/{own}/result.csv"):
            theirs.open(path)
            theirs.sees("There is no such thing")
        theirs.open(f"/sims?iccid={world.iccids[0]}")
        theirs.sees("No SIM of this number")
        theirs.open("/new?provider=" + PROVIDER)
        assert "Which SIMs" not in theirs.text
        ours.open(f"/changes/{own}")
        ours.sees("Queued")


def test_a_viewer_sees_everything_and_no_button_that_changes_anything(
    chromium: Browser, door: Door, world: World
) -> None:
    new = world.submit(world.iccids[:2], process_changes=False).bulk_change_id
    with person(chromium, door.url) as viewer:
        viewer.sign_in(Role.VIEWER)
        assert "New change" not in viewer.text
        viewer.open(f"/changes/{new}")
        viewer.sees("Not started")
        assert viewer.page.get_by_role("button").all_inner_texts() == ["Sign out"]
        viewer.open("/new")
        viewer.sees("Your role does not allow it")
