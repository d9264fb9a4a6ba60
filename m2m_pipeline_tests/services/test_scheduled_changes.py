"""A change that the carrier took for a day to come is settled after its day: not before, and not by sending."""

from datetime import UTC, datetime, timedelta

import pytest

from m2m_pipeline.simulator.documents import Drift
from m2m_pipeline_tests import invariants
from m2m_pipeline_tests.world import NEW, World

pytestmark = pytest.mark.usefixtures("quick_reads")


def scheduled(world: World, day: str, sent: str) -> int:
    """A change that the carrier took for `day`, as it is left to reconciliation (SQL dates, relative to today)."""
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    document, _ = world.submit_and_run(effective_date=tomorrow)
    assert document.counts == {"UNCONFIRMED": 3}
    world.sql(f"UPDATE m2m.bulk_change SET effective_date = current_date + ({day})")
    world.sql(f"UPDATE m2m.device_change SET sent_at = now() + interval '{sent}'")
    return document.id


def test_a_change_for_a_day_to_come_is_left_alone_and_its_end_is_not_told_again(world: World) -> None:
    bulk_change_id = scheduled(world, "1", "0 days")
    # Unknown as well whether the carrier took it at all: the old plan says nothing before the day.
    world.sql("UPDATE m2m.device_change SET reason = 'OUTCOME_UNKNOWN' WHERE row_number = 1")
    calls = len(world.control.calls())

    done = world.services.reconciliation.settle(world.provider)

    assert (done.settled, done.unknown, done.to_come, list(done.bulk_changes)) == (0, 0, 3, [])
    assert len(world.control.calls()) == calls
    assert [e.outcome for e in world.evidence(bulk_change_id).audit if e.kind == "BULK_CHANGE_ENDED"] == ["PARTIAL"]


def test_on_its_day_a_scheduled_change_is_confirmed_as_soon_as_it_shows_and_not_given_up(world: World) -> None:
    """The day begins at the carrier when it begins there, not in UTC."""
    bulk_change_id = scheduled(world, "0", "-1 days")
    world.control.drift(world.iccids[0], Drift(rate_plan=NEW))

    done = world.services.reconciliation.settle(world.provider)

    assert (done.settled, done.unknown, done.to_come) == (1, 2, 0)
    assert set(world.evidence(bulk_change_id).statuses().values()) == {"PROCESSED", "UNCONFIRMED"}

    for iccid in world.iccids[1:]:
        world.control.drift(iccid, Drift(rate_plan=NEW))
    assert world.settle() == 0
    invariants.check_all(world.evidence(bulk_change_id))


def test_after_its_day_a_scheduled_change_that_does_not_show_was_not_made(world: World) -> None:
    bulk_change_id = scheduled(world, "-1", "-2 days")

    (document,) = world.services.reconciliation.settle(world.provider).bulk_changes

    assert document.counts == {"REFUSED": 3}
    invariants.check_all(world.evidence(bulk_change_id))
