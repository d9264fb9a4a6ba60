"""The head of the queue: each carrier account has its place in it, whatever waits of another; what rests has none."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from m2m_pipeline.domain.carrier import DeviceReading
from m2m_pipeline.services.queue import HEAD_OF_ACCOUNT
from m2m_pipeline.services.sweeping import MAX_ATTEMPTS
from m2m_pipeline.settings.work import WorkSettings
from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.services.test_resume import expire_lease
from m2m_pipeline_tests.services.test_sweeping import exhaust, queue_of, sweep
from m2m_pipeline_tests.world import COMM_OLD, NEW, OLD, PROVIDER, TENANT, USERNAME, Options, World

OTHER = "other"


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world(Options(devices=30))


def add_provider(world: World, username: str) -> None:
    """Another provider with the world's devices, of the carrier account that the user name says."""
    settings = replace(world.provider_settings(), username=username)
    provider = world.services.accounts.configure(TENANT, OTHER, settings, actor="test")
    world.services.accounts.import_plans(provider, [OLD, NEW], [COMM_OLD])
    world.services.accounts.import_devices(provider, [DeviceReading(one, OLD, COMM_OLD) for one in world.iccids])


def submit_each(world: World, provider: str = PROVIDER) -> list[int]:
    """A change for each device; their ids."""
    return [world.submit([iccid], provider=provider).bulk_change_id for iccid in world.iccids]


def test_an_account_with_many_changes_keeps_no_other_out_of_the_head(world: World) -> None:
    many = submit_each(world)
    add_provider(world, "another user")
    first, second, *_ = submit_each(world, OTHER)

    head = world.services.queue.head()

    assert Counter(one.provider for one in head) == {PROVIDER: HEAD_OF_ACCOUNT, OTHER: HEAD_OF_ACCOUNT}
    assert [one.id for one in head][:4] == [many[0], first, many[1], second]


def test_two_providers_of_one_carrier_account_have_its_places_together(world: World) -> None:
    many = submit_each(world)
    add_provider(world, USERNAME)
    urgent = world.submit(world.iccids[:1], provider=OTHER, priority=1).bulk_change_id

    assert [one.id for one in world.services.queue.head()] == [urgent, *many[: HEAD_OF_ACCOUNT - 1]]


def test_what_has_to_wait_takes_no_place_in_the_head(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=30, overlap="wait"))
    first = world.submit(world.iccids[:1]).bulk_change_id
    for _ in range(HEAD_OF_ACCOUNT):
        world.submit(world.iccids[:1])
    free = world.submit(world.iccids[1:]).bulk_change_id

    assert [one.id for one in world.services.queue.head()] == [first, free]


def test_attempts_that_come_to_nothing_are_followed_at_once_and_then_later_and_later(make_world: MakeWorld) -> None:
    """So that a change outlives a full disk, or a deploy that takes its time: five take a quarter of an hour."""
    world = make_world(Options(pause=WorkSettings().attempt_pause_seconds))
    bulk_change_id = world.submit().bulk_change_id
    rests: list[float] = []
    for attempt in range(1, MAX_ATTEMPTS):
        world.services.execution.claim(bulk_change_id, f"run-{attempt}")
        expire_lease(world)
        sweep(world)
        rests.append(world.services.queue.rests_for(bulk_change_id))
        assert queue_of(world) == ([] if rests[-1] else [(bulk_change_id, attempt + 1)])
        world.sql(
            "UPDATE m2m.bulk_change SET attempt_queued_at = attempt_queued_at - make_interval(secs => %s)", rests[-1]
        )
        assert queue_of(world) == [(bulk_change_id, attempt + 1)]

    assert rests[0] == 0
    assert all(later > earlier for earlier, later in pairwise(rests))
    assert sum(rests) > 14.9 * 60


def test_an_attempt_that_got_on_is_followed_at_once(make_world: MakeWorld) -> None:
    world = make_world(Options(devices=2, pause=600.0))
    bulk_change_id = world.submit(batch_size=1).bulk_change_id
    exhaust(world, bulk_change_id)
    first, _ = world.prepare(bulk_change_id)
    world.drive(first)
    expire_lease(world)
    sweep(world)

    assert queue_of(world) == [(bulk_change_id, 2)]
