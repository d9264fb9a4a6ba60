"""Calls for whose answer nobody waits any more: the carrier may be at them still, and carry them out yet.

Until such a call is over, a device on its old plan is no answer. Sent again it would be changed twice, and its first
call might land after the device's end, over the change of somebody else.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from m2m_pipeline.domain.change import DeviceWork
from m2m_pipeline.services.execution.session import Session
from m2m_pipeline.storage import device_changes
from m2m_pipeline.storage.database import retrying_transient

LEAVES_WITHIN_SECONDS = 5.0
"""So soon after its intent was committed a call leaves, or not at all: whoever finds the intent knows when it is over.
"""


@dataclass
class AbandonedCalls:
    """The abandoned calls to the devices of one batch, each until it is over."""

    session: Session
    _over_at: dict[int, float] = field(default_factory=dict[int, float])  # by the event loop's clock

    def note(self, device: DeviceWork, called_at: float) -> None:
        """The device's call, made at a moment of the event loop's clock, was cut."""
        self._over_at[device.id] = called_at + self.session.carrier.call_seconds

    async def recall(self, devices: Sequence[DeviceWork]) -> None:
        """Reckon with the calls that an earlier attempt may have left under way to `devices`."""
        now = asyncio.get_running_loop().time()
        since = await asyncio.to_thread(self._seconds_since_sent, [device.id for device in devices])
        longest = LEAVES_WITHIN_SECONDS + self.session.carrier.call_seconds
        self._over_at.update({id_: now + longest - seconds for id_, seconds in since.items()})

    def seconds_left(self, devices: Sequence[DeviceWork]) -> float:
        """After so many seconds none of the calls to `devices` can be under way any more."""
        now = asyncio.get_running_loop().time()
        return max((self._over_at.get(device.id, now) - now for device in devices), default=0.0)

    @retrying_transient
    def _seconds_since_sent(self, ids: Sequence[int]) -> Mapping[int, float]:
        with self.session.database.begin() as tx:
            return device_changes.seconds_since_sent(tx, ids)
