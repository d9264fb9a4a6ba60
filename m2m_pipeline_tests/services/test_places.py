"""The places of one process among an account's calls in flight: each has one call at a time."""

import asyncio
import random
from collections.abc import Coroutine

from hypothesis import given
from hypothesis import strategies as st

from m2m_pipeline.services.places import Places


def played(play: Coroutine[object, object, None]) -> None:
    asyncio.run(play)


def soon() -> float:
    return asyncio.get_running_loop().time() + 5


def at_once() -> float:
    return asyncio.get_running_loop().time()


def test_a_call_that_was_promised_a_place_follows_the_call_that_ends() -> None:
    async def play() -> None:
        places = Places()
        places.hold([7])
        places.promise(1)
        follower = asyncio.create_task(places.take(soon()))
        await asyncio.sleep(0)
        assert places.vacate(7) == ()
        assert await follower == 7
        assert places.vacate(7) == [7]  # nobody is promised it any more

    played(play())


def test_a_place_is_kept_for_a_call_that_is_not_ready_yet() -> None:
    async def play() -> None:
        places = Places()
        places.hold([7])
        places.promise(1)
        assert places.vacate(7) == []
        assert await places.take(at_once()) == 7

    played(play())


def test_a_place_that_nobody_needs_after_all_is_free() -> None:
    async def play() -> None:
        places = Places()
        places.hold([7, 8])
        places.promise(2)
        assert places.vacate(7) == []
        assert places.forgo(1) == []
        assert places.forgo(1) == [7]
        assert list(places.held) == [8]

    played(play())


def test_a_call_waits_for_its_place_until_its_time_is_over() -> None:
    async def play() -> None:
        places = Places()
        places.hold([7])
        places.promise(1)
        assert await places.take(at_once()) is None
        places.forgo(1)
        assert places.vacate(7) == [7]

    played(play())


def test_after_a_broken_promise_the_place_is_nobodys() -> None:
    async def play() -> None:
        places = Places()
        places.hold([7])
        places.promise(1)
        follower = asyncio.create_task(places.take(soon()))
        await asyncio.sleep(0)
        places.break_promises()
        assert await follower is None
        places.forgo(1)
        assert places.vacate(7) == [7]

    played(play())


def test_a_place_whose_call_may_go_on_is_given_to_nobody() -> None:
    async def play() -> None:
        places = Places()
        places.hold([7])
        places.promise(1)
        places.abandon(7)
        assert await places.take(at_once()) is None
        assert not places.held

    played(play())


class Play:
    """Calls that come, wait, give up, go on and end."""

    def __init__(self) -> None:
        self.places, self.calling, self.free = Places(), [1, 2, 3], list[int]()
        self.places.hold(self.calling)
        self.followers: list[asyncio.Task[int | None]] = []

    def promise(self, until: float) -> None:
        self.places.promise(1)
        self.followers.append(asyncio.create_task(self.places.take(until)))

    def end(self, number: int) -> None:
        if self.calling:
            self.free.extend(self.places.vacate(self.calling.pop(number % len(self.calling))))

    def go_on(self, place: int | None) -> None:
        if place is None:
            self.free.extend(self.places.forgo(1))
        else:
            assert place not in self.calling
            self.calling.append(place)

    async def go_on_with_those_who_know(self) -> None:
        await asyncio.sleep(0)
        for follower in [one for one in self.followers if one.done()]:
            self.followers.remove(follower)
            self.go_on(follower.result())


@given(st.lists(st.sampled_from(["patient", "hasty", "end", "break", "go on"]), max_size=60), st.randoms())
def test_no_place_has_two_calls_and_none_is_lost(steps: list[str], draw: random.Random) -> None:
    async def play() -> None:
        at = Play()
        for step in steps:
            match step:
                case "patient":
                    at.promise(soon())
                case "hasty":
                    at.promise(at_once())
                case "end":
                    at.end(draw.randrange(10))
                case "break":
                    at.places.break_promises()
                case _:
                    await at.go_on_with_those_who_know()
        await asyncio.sleep(0)  # those who have just come wait, too
        at.places.break_promises()
        for place in await asyncio.gather(*at.followers):
            at.go_on(place)
        while at.calling:
            at.end(0)
        assert sorted(at.free) == [1, 2, 3]
        assert not at.places.held

    played(play())
