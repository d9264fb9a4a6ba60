"""The carrier's own state: devices, who last changed them when, and the changes that are still to come."""

import heapq
import itertools
import time
from bisect import bisect_left, insort
from dataclasses import dataclass, field, replace
from operator import attrgetter

from m2m_pipeline.simulator.documents import DeviceView, World
from m2m_pipeline.simulator.ledger import Change, Ledger
from m2m_pipeline.simulator.moments import DAY_MS, show

_WEEK_MS = 7 * DAY_MS


@dataclass(frozen=True, slots=True)
class Edit:
    """What a PUT asks for; None leaves a field as it is."""

    rate_plan: str | None = None
    communication_plan: str | None = None
    status: str | None = None
    extras: dict[str, str] = field(default_factory=dict[str, str])
    """The other editable fields by their API name (deviceID, accountCustom1, …)."""


@dataclass(frozen=True, slots=True)
class TrailEntry:
    """One field of one edit, as GET auditTrails shows it."""

    field: str
    before: str
    after: str
    at_ms: int
    user: str
    failed: bool = False


@dataclass(slots=True)
class Device:
    """One SIM. `recency` orders devices by their last modification, also within one millisecond."""

    iccid: str
    account: str
    rate_plan: str
    communication_plan: str
    status: str
    recency: tuple[int, int]
    extras: dict[str, str] | None = None
    trail: list[TrailEntry] | None = None

    @property
    def updated_ms(self) -> int:
        """When it was last modified."""
        return self.recency[0]

    @property
    def imsi(self) -> str:
        """15 digits, derived from the ICCID like the two below: 901 16 is an international network."""
        return "90116" + self.iccid[-11:-1]

    @property
    def msisdn(self) -> str:
        """15 digits without a plus; 882 35 is an international network's country code."""
        return "88235" + self.iccid[-11:-1]

    @property
    def imei(self) -> str:
        """15 digits; its last is not a check digit."""
        return "3556" + self.iccid[-12:-1]

    def remember(self, entry: TrailEntry) -> None:
        """Append to the audit trail."""
        self.trail = [*(self.trail or ()), entry]


@dataclass(frozen=True, slots=True, order=True)
class _Scheduled:
    due_ms: int
    serial: int
    iccid: str = field(compare=False)
    edit: Edit = field(compare=False)
    call: int | None = field(compare=False)
    user: str = field(compare=False)


class Carrier:
    """Holds the world of one run. Its clock may be ahead of or behind the machine's (scenario clock_skew)."""

    def __init__(self, world: World) -> None:
        self.accounts = world.accounts
        self.rate_plans = world.rate_plans
        self.communication_plans = frozenset(world.communication_plans)
        self.ledger = Ledger()
        self.skew_ms = 0
        self._serials = itertools.count()
        # Devices were last modified long before the run, one by one: a search since the run's start finds none.
        self.opened_ms = self.now_ms() - _WEEK_MS
        owner = world.accounts[0].username
        self._by_recency = [
            Device(
                iccid=device.iccid,
                account=device.account or owner,
                rate_plan=device.rate_plan,
                communication_plan=device.communication_plan,
                status=device.status,
                recency=(self.opened_ms, next(self._serials)),
            )
            for device in world.devices
        ]
        self.devices = {device.iccid: device for device in self._by_recency}
        self._scheduled: list[_Scheduled] = []

    def begin_ledger(self) -> None:
        """Put an empty ledger in place. Changes that are still to come stay, but their calls are in no ledger now."""
        self.ledger = Ledger()
        self._scheduled = [replace(scheduled, call=None) for scheduled in self._scheduled]

    def now_ms(self) -> int:
        """Milliseconds since the epoch by the carrier's clock."""
        return time.time_ns() // 1_000_000 + self.skew_ms

    def apply(self, device: Device, edit: Edit, at_ms: int, call: int | None, user: str) -> None:
        """Change the device now. Where nothing would differ, nothing happens: dateUpdated stays as it is."""
        differences = list(_differences(device, edit))
        if not differences:
            return
        from_plan, from_comm = device.rate_plan, device.communication_plan
        device.rate_plan = edit.rate_plan or device.rate_plan
        device.communication_plan = edit.communication_plan or device.communication_plan
        device.status = edit.status or device.status
        if edit.extras:
            device.extras = {**(device.extras or {}), **edit.extras}
        for name, old, new in differences:
            device.remember(TrailEntry(name, old, new, at_ms, user))
        self._touch(device, at_ms)
        to_plan, to_comm = device.rate_plan, device.communication_plan
        if (from_plan, from_comm) != (to_plan, to_comm):
            self.ledger.record_change(Change(call, device.iccid, from_plan, to_plan, from_comm, to_comm, at_ms))

    def fail_inside(self, device: Device, edit: Edit, user: str) -> None:
        """Do nothing, and leave the only trace that pod 19 leaves of it: an error in the audit trail."""
        for name, old, new in _differences(device, edit):
            device.remember(TrailEntry(name, old, new, self.now_ms(), user, failed=True))

    def schedule(self, device: Device, edit: Edit, due_ms: int, call: int, user: str) -> None:
        """Apply the edit when the carrier's clock reaches due_ms; until then the device shows its old plan."""
        heapq.heappush(self._scheduled, _Scheduled(due_ms, next(self._serials), device.iccid, edit, call, user))

    def settle(self) -> None:
        """Apply what has become due. Called before anything is read, which makes timers needless."""
        now_ms = self.now_ms()
        while self._scheduled and self._scheduled[0].due_ms <= now_ms:
            due = heapq.heappop(self._scheduled)
            self.apply(self.devices[due.iccid], due.edit, due.due_ms, due.call, due.user)

    def modified(self, since_ms: int, till_ms: int) -> list[Device]:
        """Devices last modified from since_ms to till_ms, both included, oldest change first."""
        first = bisect_left(self._by_recency, (since_ms, -1), key=attrgetter("recency"))
        last = bisect_left(self._by_recency, (till_ms + 1, -1), key=attrgetter("recency"))
        return self._by_recency[first:last]

    def views(self) -> list[DeviceView]:
        """All devices as they are now, in the order in which the world named them."""
        return [
            DeviceView(
                iccid=device.iccid,
                rate_plan=device.rate_plan,
                communication_plan=device.communication_plan,
                status=device.status,
                account=device.account,
                imsi=device.imsi,
                msisdn=device.msisdn,
                imei=device.imei,
                date_updated=show(device.updated_ms),
            )
            for device in self.devices.values()
        ]

    def _touch(self, device: Device, at_ms: int) -> None:
        del self._by_recency[bisect_left(self._by_recency, device.recency, key=attrgetter("recency"))]
        device.recency = (at_ms, next(self._serials))
        insort(self._by_recency, device, key=attrgetter("recency"))


def _differences(device: Device, edit: Edit) -> list[tuple[str, str, str]]:
    asked = {
        "status": edit.status,
        "ratePlan": edit.rate_plan,
        "communicationPlan": edit.communication_plan,
        **edit.extras,
    }
    present = {
        "status": device.status,
        "ratePlan": device.rate_plan,
        "communicationPlan": device.communication_plan,
        **(device.extras or {}),
    }
    return [
        (name, present.get(name, ""), value)
        for name, value in asked.items()
        if value is not None and value != present.get(name, "")
    ]
