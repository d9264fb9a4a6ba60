"""Many requests at once: a key makes one bulk change, a device has one open change, and nobody is told a half-truth."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from m2m_pipeline.domain.problems import RequestRejectedError
from m2m_pipeline.services.submission import Recorded
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.world import Options, World

THREADS = 8  # the pool holds ten connections


def at_once(calls: Sequence[Callable[[], Recorded]]) -> list[Recorded | RequestRejectedError]:
    """Start all calls at the same moment; what each came to."""
    start = Barrier(len(calls))

    def run(call: Callable[[], Recorded]) -> Recorded | RequestRejectedError:
        start.wait()
        try:
            return call()
        except RequestRejectedError as rejected:
            return rejected

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world(Options(devices=60))


def test_twenty_requests_with_one_key_make_one_bulk_change(world: World) -> None:
    outcomes = at_once([lambda: world.submit(idempotency_key="k1")] * 20)

    recorded = [outcome for outcome in outcomes if isinstance(outcome, Recorded)]
    assert len(recorded) == 20
    assert len({one.bulk_change_id for one in recorded}) == 1
    assert sum(not one.replayed for one in recorded) == 1
    assert world.sql("SELECT count(*) FROM m2m.bulk_change") == [(1,)]


@pytest.mark.parametrize("turned", [False, True], ids=["in one order", "in two orders"])
def test_of_requests_for_the_same_devices_one_wins_and_the_others_hear_of_it(world: World, turned: bool) -> None:
    world.sql(
        """
        CREATE FUNCTION public.pause() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_sleep(0.2);
            RETURN NEW;
        END $$
        """
    )
    world.sql(  # each request holds half of its devices when it comes to the other half
        "CREATE TRIGGER pause BEFORE INSERT ON m2m.device_change FOR EACH ROW "
        "WHEN (NEW.row_number = 30) EXECUTE FUNCTION public.pause()"
    )

    def devices(place: int) -> list[str]:
        return list(reversed(world.iccids)) if turned and place % 2 else list(world.iccids)

    outcomes = at_once([lambda place=place: world.submit(devices(place)) for place in range(THREADS)])

    (winner,) = [outcome for outcome in outcomes if isinstance(outcome, Recorded)]
    for loser in outcomes:
        if isinstance(loser, RequestRejectedError):
            assert {problem.code for problem in loser.problems} == {"OPEN_CHANGE"}
            assert all(f"bulk change {winner.bulk_change_id}," in problem.message for problem in loser.problems)
    assert world.sql("SELECT count(*) FROM m2m.device_change") == [(60,)]


def test_of_requests_at_once_only_those_are_recorded_for_which_the_tenant_has_room(world: World) -> None:
    world.submit(world.iccids[-1:])
    world.sql("UPDATE m2m.tenant SET max_open_changes = 3")

    outcomes = at_once([lambda place=place: world.submit(world.iccids[place : place + 1]) for place in range(THREADS)])

    rejected = [outcome for outcome in outcomes if isinstance(outcome, RequestRejectedError)]
    assert len(rejected) == THREADS - 2
    assert {problem.code for one in rejected for problem in one.problems} == {"TOO_MANY_OPEN_CHANGES"}
    assert world.count("bulk_change") == 3


def test_overlapping_requests_that_skip_share_the_devices_without_a_gap(world: World) -> None:
    def devices(place: int) -> list[str]:
        return [*world.iccids[place * 7 :], *world.iccids[: place * 7]]

    outcomes = at_once(
        [lambda place=place: world.submit(devices(place), invalid_rows="skip") for place in range(THREADS)]
    )

    assert all(isinstance(outcome, Recorded) for outcome in outcomes)
    held = world.sql("SELECT iccid FROM m2m.device_change WHERE status = 'PENDING'")
    assert sorted(held) == [(iccid,) for iccid in sorted(world.iccids)]
