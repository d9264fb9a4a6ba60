"""What the list pages of one run show of the devices of others, so that no two runs read the same pages.

Runs of a service provider take turns at the list: whoever comes next finds noted what the one before has seen, and
reads only what came after it. A run waits for its turn while it has a next batch to send, or pages cost time.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import Self

from m2m_pipeline.domain.carrier import DevicePage, DeviceReading
from m2m_pipeline.domain.change import DeviceWork
from m2m_pipeline.services.execution.workbench import Workbench
from m2m_pipeline.storage import sightings
from m2m_pipeline.storage.best_effort import best_effort
from m2m_pipeline.storage.database import retrying_transient

TURN_WORTH_IT = 500
"""Fewer devices wait for nobody's turn: their own few pages cost less than the wait would."""

RUNS_AT_ONCE = 4
"""As many runs of an account are in work at once, as `dagster.yaml` is shipped."""

LOOK_SECONDS = 0.25
"""How often is looked whether the turn has come."""


class Sightings:
    """Of the devices `left`, those that others' pages have shown on their new plan are taken from it on every look.

    A page confirms a device only if it was asked for after the device's call was over, as one's own page is.
    """

    def __init__(self, bench: Workbench, left: dict[str, DeviceWork]) -> None:
        self._bench = bench
        self._left = left
        self._claimed = frozenset(left)
        self._asked_at: datetime  # by the database's clock; the next pages are asked for after it
        self._is_alone: bool

    async def __aenter__(self) -> Self:
        await self.take_turn()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with best_effort("The turn at the device list was not given on: it ends with the lease."):
            await asyncio.to_thread(self._give_turn_on)

    async def note(self, pages: Sequence[DevicePage]) -> None:
        """Note what these pages, asked for after the last look, show of others' devices, if anybody else is at work."""
        others = [one for page in pages for one in page.devices if one.iccid not in self._claimed]
        if others and not self._is_alone:
            await asyncio.to_thread(self._note, others)

    async def take_turn(self) -> None:
        """Look until it is our turn, or waiting for it does not pay: then pages are read beside the other's."""
        many = len(self._claimed) >= TURN_WORTH_IT
        while True:
            is_our_turn = await self._look()
            if is_our_turn or not (self._left and many and (self._bench.has_time or self._pages_cost_time)):
                return
            await asyncio.sleep(LOOK_SECONDS)

    @property
    def _pages_cost_time(self) -> bool:
        """Whether the pages of all take longer than a look: read by everybody, they take longer than a wait."""
        carrier = self._bench.session.carrier
        pages = RUNS_AT_ONCE * len(self._left) / carrier.capabilities.page_size
        return pages / carrier.pacer.calls_per_second > LOOK_SECONDS

    async def _look(self) -> bool:
        """Take what was seen of the devices that are left; whether it is our turn to read pages."""
        device_of = {device.id: device for device in self._left.values()}
        seen = await asyncio.to_thread(self._look_up, list(device_of))
        self._asked_at, self._is_alone = seen.at, seen.is_alone
        for id_, asked_at in seen.asked_at.items():
            if asked_at > self._bench.answered_at(id_):
                device = self._left.pop(device_of[id_].iccid)
                reading = DeviceReading(device.iccid, device.rate_plan, device.communication_plan)
                self._bench.learn(device, reading, settled=False)
        return seen.is_our_turn

    @retrying_transient
    def _look_up(self, ids: Sequence[int]) -> sightings.Seen:
        with self._bench.session.database.begin() as tx:
            return sightings.look(tx, self._bench.session.attempt, ids)

    @retrying_transient
    def _note(self, readings: Sequence[DeviceReading]) -> None:
        with self._bench.session.database.begin() as tx:
            sightings.note(tx, self._bench.session.attempt, readings, self._asked_at)

    def _give_turn_on(self) -> None:
        with self._bench.session.database.begin() as tx:
            sightings.give_turn_on(tx, self._bench.session.attempt)
