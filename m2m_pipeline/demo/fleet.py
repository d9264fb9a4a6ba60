"""Which SIMs the demo sends, what befalls each at the carrier, and how each must therefore end."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.status import DeviceStatus
from m2m_pipeline.simulator.documents import DeviceView
from m2m_pipeline.simulator.scenarios import Rule

RATE_PLAN = "M2M 5MB Pooled"
"""Where the demo moves its SIMs; a quarter of the simulator's fleet is there already."""

CHANGED = 180
ALREADY_ON_PLAN = 12
REFUSED = 4
ANSWER_LOST = 5
NOT_APPLIED = 3
DUPLICATES = 4
UNKNOWN_AT_THE_CARRIER = ("8988303000000000101", "8988303000000000102", "8988303000000000103")
NOT_IN_THE_INVENTORY = ("8988303000000000201", "8988303000000000202")
DAMAGED = "8.98821E+18"
REFUSAL_CODE = "10000029"


@dataclass
class Fleet:
    """The lines of the CSV in order, how each must end, and the trouble that makes it so."""

    lines: list[str] = field(default_factory=list[str])
    expected: list[tuple[DeviceStatus, ReasonCode | None]] = field(
        default_factory=list[tuple[DeviceStatus, ReasonCode | None]]
    )
    trouble: list[Rule] = field(default_factory=list[Rule])

    def add(self, iccids: Sequence[str], status: DeviceStatus, reason: ReasonCode | None = None) -> None:
        """Lines that must end alike."""
        self.lines += iccids
        self.expected += [(status, reason)] * len(iccids)


def plan_fleet(devices: Sequence[DeviceView]) -> Fleet:
    """The demo's lines, from the devices that the carrier has."""
    elsewhere = iter(device.iccid for device in devices if device.rate_plan != RATE_PLAN)
    there = iter(device.iccid for device in devices if device.rate_plan == RATE_PLAN)
    fleet = Fleet()
    changed = _take(elsewhere, CHANGED)
    refused, lost, not_applied = _take(elsewhere, REFUSED), _take(elsewhere, ANSWER_LOST), _take(elsewhere, NOT_APPLIED)
    fleet.add(changed, DeviceStatus.PROCESSED)
    fleet.add(lost, DeviceStatus.PROCESSED)  # read back, not guessed
    fleet.add(_take(there, ALREADY_ON_PLAN), DeviceStatus.SKIPPED, ReasonCode.ALREADY_ON_PLAN)
    fleet.add(refused, DeviceStatus.REFUSED, ReasonCode.CARRIER_REFUSED)
    fleet.add(not_applied, DeviceStatus.REFUSED, ReasonCode.ACCEPTED_NOT_APPLIED)
    fleet.add(UNKNOWN_AT_THE_CARRIER, DeviceStatus.REFUSED, ReasonCode.CARRIER_DEVICE_UNKNOWN)
    fleet.add(NOT_IN_THE_INVENTORY, DeviceStatus.REFUSED, ReasonCode.NOT_IN_INVENTORY)
    fleet.add(changed[:DUPLICATES], DeviceStatus.SKIPPED, ReasonCode.DUPLICATE)
    fleet.add([DAMAGED], DeviceStatus.REFUSED, ReasonCode.ICCID_SPREADSHEET_DAMAGE)
    fleet.trouble = [
        Rule(name="device_refused", iccids=frozenset(refused), error_code=REFUSAL_CODE),
        Rule(name="applied_then_reset", iccids=frozenset(lost), methods=frozenset({"PUT"})),
        Rule(name="ok_not_applied", iccids=frozenset(not_applied)),
    ]
    return fleet


def _take(iccids: Iterator[str], count: int) -> list[str]:
    taken = list(islice(iccids, count))
    assert len(taken) == count, "the simulator was started with too few devices for the demo"
    return taken
