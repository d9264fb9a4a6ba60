"""What several tests have people and the platform do."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from m2m_pipeline.simulator.scenarios import Rule
from m2m_pipeline_tests.page.chromium import Person
from m2m_pipeline_tests.world import NEW, World


def run(world: World, bulk_change_id: int) -> None:
    """A whole attempt, beside Playwright's event loop."""
    with ThreadPoolExecutor(1) as beside:
        beside.submit(world.run, bulk_change_id).result()


def half_done(world: World) -> int:
    """A bulk change that is running, beside Playwright's event loop."""
    with ThreadPoolExecutor(1) as beside:
        return beside.submit(world.half_done, Rule(name="hang", calls=1, skip_calls=10_000)).result()


def submit_and_run(world: World, chosen: Sequence[str] | None = None, **fields: object) -> int:
    """A bulk change that has ended; its id."""
    bulk_change_id = world.submit(chosen, **fields).bulk_change_id
    run(world, bulk_change_id)
    return bulk_change_id


def prepare(somebody: Person, *chosen: str) -> None:
    """From the list to the preview, with pasted ICCIDs."""
    somebody.open("/new")
    somebody.page.get_by_label("or paste ICCIDs").fill("\n".join(chosen))
    somebody.page.get_by_label("Rate plan", exact=True).select_option(NEW)
    somebody.press("Check what would happen")


def confirm(somebody: Person) -> int:
    """From the preview to the bulk change; its id."""
    somebody.press("Confirm the change")
    somebody.page.wait_for_url("**/changes/*")
    return int(somebody.page.url.rpartition("/")[2])
