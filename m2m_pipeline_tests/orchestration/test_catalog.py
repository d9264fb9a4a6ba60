"""The catalog reads like the business: every asset described and owned, its numbers and tables those of the rows."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
import pytest

from m2m_pipeline.orchestration.catalog import (
    audit_trail,
    budget_use,
    bulk_changes,
    carrier_state,
    daily_statistics,
    inventory,
    rate_plan_drift,
)
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline.services.checks import PROMISES
from m2m_pipeline_tests.orchestration.location import KEY, load_inventory, metadata, run_change, run_job, words_of
from m2m_pipeline_tests.page.visitors import visitor
from m2m_pipeline_tests.web.door import open_door
from m2m_pipeline_tests.world import NEW, OLD, Options, World

MOST_PLOT_CHARACTERS = 20_000
RATE = 100.0
DOCUMENT = Path(__file__).parents[2] / "docs" / "reconciliation.md"


def change(world: World, platform: Platform, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return run_change(world.submit().bulk_change_id, platform, instance)


def test_every_asset_is_described_owned_and_in_a_group_and_has_a_place_in_the_lineage(
    definitions: dg.Definitions,
) -> None:
    specs = {spec.key: spec for spec in definitions.resolve_all_asset_specs()}

    assert set(specs) == {
        spec.key
        for spec in (
            inventory,
            bulk_changes,
            audit_trail,
            carrier_state,
            rate_plan_drift,
            budget_use,
            daily_statistics,
        )
    }
    for spec in specs.values():
        assert spec.description
        assert spec.owners
        assert spec.kinds
        assert spec.group_name in {"rate_plan_changes", "carrier_accounts"}
    upstream = {
        key.to_user_string(): {dep.asset_key.to_user_string() for dep in spec.deps} for key, spec in specs.items()
    }
    assert upstream["rate_plan_drift"] == {"inventory", "carrier_state"}
    assert upstream["audit_trail"] == {"bulk_changes"}


def test_the_end_of_a_change_shows_its_plans_times_worker_and_a_plot(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    change(world, platform, instance)

    shown = metadata(instance, bulk_changes)
    assert shown["devices processed"] == 3
    moves = shown["old plan to new plan"]
    assert isinstance(moves, dg.TableMetadataValue)
    records = [dict(record.data) for record in moves.records]
    assert records == [{"old plan": OLD, "new plan": NEW, "status": "PROCESSED", "devices": 3}]
    assert {"devices ended", "devices by outcome", "processed"} <= words_of(str(shown["plot"]))
    assert len(str(shown["plot"])) < MOST_PLOT_CHARACTERS
    ((entries,),) = world.sql("SELECT count(*) FROM m2m.audit_entry WHERE bulk_change_id IS NOT NULL")
    assert metadata(instance, audit_trail)["entries"] == entries
    assert not any(iccid in str(shown) for iccid in world.iccids)


def test_the_end_of_a_change_shows_what_its_time_is_made_of(
    make_world: Callable[[Options], World], platform: Platform, instance: dg.DagsterInstance
) -> None:
    world = make_world(Options(calls_per_second=RATE))
    change(world, platform, instance)

    shown = metadata(instance, bulk_changes)
    ((queued, start_up, work),) = world.sql(
        "SELECT CAST(extract(epoch FROM started_at - queued_at) AS float8), CAST(extract(epoch FROM (SELECT "
        "min(sent_at) FROM m2m.device_change) - started_at) AS float8), CAST(extract(epoch FROM finished_at - "
        "started_at) AS float8) FROM m2m.bulk_change"
    )
    calls = len(world.control.calls())
    told = {
        "seconds in the queue": queued,
        "seconds before the first device was sent": start_up,
        "seconds of work": work,
        "seconds that the calls take at the account's rate": calls / RATE,
        "seconds of work beyond that": float(str(work)) - calls / RATE,
        "devices a second": 3 / float(str(work)),
        "calls a second": calls / float(str(work)),
        "share of the account's rate used": calls / RATE / float(str(work)),
    }
    assert {name: shown[name] for name in told} == pytest.approx(told, rel=0.05, abs=0.002)
    assert shown["carrier calls"] == calls
    rows = [line.split("|")[1].strip() for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]
    assert [name for name in rows if "second" in name or "share" in name] == list(told)


def test_the_end_of_a_change_links_to_its_page_its_results_and_its_runs_where_their_addresses_are_known(
    world: World, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(world, Platform(), instance)
    named = metadata(instance, bulk_changes)["each device"]
    with open_door(world, dev_sign_in=True) as door:
        monkeypatch.setenv("M2M_PUBLIC_URL", door.url)
        monkeypatch.setenv("M2M_DAGSTER_URL", "https://dagster.example.com")
        again = world.submit(rate_plan=OLD).bulk_change_id
        run_change(again, Platform(), instance)
        shown = metadata(instance, bulk_changes)
        with visitor(door.url) as operator:
            page = operator.get(urlsplit(str(shown["page"])).path)
            file = operator.get(urlsplit(str(shown["each device (CSV)"])).path)
        document = door.as_().get(str(shown["result (API)"]))

    assert named == "`m2m result 1 --format csv` has a row for each."
    assert "each device" not in shown
    assert f"Change #{again}" in page.text
    assert file.text.count("PROCESSED") == document.json()["counts"]["PROCESSED"] == len(world.iccids)
    assert shown["runs"] == f"https://dagster.example.com/runs?q%5B0%5D=tag%3Am2m%2Fbulk_change%3D{again}"


def test_the_end_of_a_change_tells_which_promises_hold(
    world: World, platform: Platform, instance: dg.DagsterInstance
) -> None:
    result = change(world, platform, instance)

    told = {evaluation.check_name: evaluation.passed for evaluation in result.get_asset_check_evaluations()}
    assert told == {check.value: True for check, promise in PROMISES.items() if promise.at_each_end}


def test_the_inventory_is_loaded_from_the_carrier_by_hand(
    world: World, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    world.sql("DELETE FROM m2m.device")
    load_inventory(definitions, instance)

    assert metadata(instance, inventory)["devices"] == 3


def test_a_day_is_summed_up(
    world: World, platform: Platform, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    change(world, platform, instance)
    world.sql("UPDATE m2m.bulk_change SET finished_at = finished_at - interval '1 day'")  # a day is summed up when over
    ((day,),) = world.sql("SELECT finished_at::date::text FROM m2m.bulk_change")

    run_job(definitions, "daily_statistics_job", instance, str(day))

    assert metadata(instance, daily_statistics)["devices changed"] == 3
    used, calls = metadata(instance, budget_use), len(world.control.calls())
    share = pytest.approx(calls / (world.provider.calls_per_second * 24 * 3600))
    assert used["carrier calls"] == calls
    assert (used["share of the busiest account"], used[f"share of {KEY}"]) == (share, share), "numbers, to be plotted"
