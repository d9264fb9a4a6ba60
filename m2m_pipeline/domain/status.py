"""The two state machines, each as one table that code, database constraints, docs and tests read.

A state is only ever left along `BULK_CHANGE_TRANSITIONS` or `DEVICE_TRANSITIONS`; storage puts the legal
sources into the WHERE of each UPDATE, so that an illegal move touches no row.
"""

from collections.abc import Mapping
from enum import StrEnum


class BulkChangeStatus(StrEnum):
    """Where one request stands."""

    NEW = "NEW"  # recorded, waits for a person to say `process` or `withdraw`
    QUEUED = "QUEUED"  # its place in the queue is this row
    PROCESSING = "PROCESSING"  # an attempt holds the lease, or held it and died
    PROCESSED = "PROCESSED"  # every device was changed, or needed no change
    PARTIAL = "PARTIAL"  # some devices were changed, some were not
    FAILED = "FAILED"  # no device was changed
    REJECTED = "REJECTED"  # the request does not hold, or was withdrawn: nothing was sent


class DeviceStatus(StrEnum):
    """Where one device of one bulk change stands."""

    WAITING = "WAITING"  # an earlier bulk change has the SIM: this one begins when that has ended
    PENDING = "PENDING"  # nothing was sent, or surely nothing arrived
    SENDING = "SENDING"  # a call may be on its way: committed before it leaves
    UNCONFIRMED = "UNCONFIRMED"  # the call may have reached the carrier: read back before anything else
    APPLIED = "APPLIED"  # the carrier has the new plan, AMOP not yet
    AMOP_FAILED = "AMOP_FAILED"  # the carrier has the new plan, our own update failed: to be driven again
    PROCESSED = "PROCESSED"  # carrier and AMOP both have the new plan
    REFUSED = "REFUSED"  # the carrier, a rule or a person said no
    SKIPPED = "SKIPPED"  # nothing to do for this row


BULK_CHANGE_TRANSITIONS: Mapping[BulkChangeStatus, frozenset[BulkChangeStatus]] = {
    BulkChangeStatus.NEW: frozenset({BulkChangeStatus.QUEUED, BulkChangeStatus.REJECTED}),
    BulkChangeStatus.QUEUED: frozenset({BulkChangeStatus.PROCESSING}),
    BulkChangeStatus.PROCESSING: frozenset(
        {
            BulkChangeStatus.PROCESSED,
            BulkChangeStatus.PARTIAL,
            BulkChangeStatus.FAILED,
            BulkChangeStatus.REJECTED,
            BulkChangeStatus.QUEUED,  # its attempt came to nothing: the sweeper queues the next
        }
    ),
    BulkChangeStatus.PROCESSED: frozenset(),
    # Reconciliation has learned what was unknown, or driven AMOP's update to its end; or a person retries.
    BulkChangeStatus.PARTIAL: frozenset({BulkChangeStatus.PROCESSED, BulkChangeStatus.FAILED, BulkChangeStatus.QUEUED}),
    BulkChangeStatus.FAILED: frozenset({BulkChangeStatus.QUEUED}),
    BulkChangeStatus.REJECTED: frozenset(),
}

DEVICE_TRANSITIONS: Mapping[DeviceStatus, frozenset[DeviceStatus]] = {
    DeviceStatus.WAITING: frozenset({DeviceStatus.PENDING, DeviceStatus.REFUSED}),
    DeviceStatus.PENDING: frozenset({DeviceStatus.SENDING, DeviceStatus.SKIPPED, DeviceStatus.REFUSED}),
    DeviceStatus.SENDING: frozenset(
        {DeviceStatus.APPLIED, DeviceStatus.REFUSED, DeviceStatus.UNCONFIRMED, DeviceStatus.PENDING}
    ),
    DeviceStatus.UNCONFIRMED: frozenset({DeviceStatus.APPLIED, DeviceStatus.PENDING, DeviceStatus.REFUSED}),
    DeviceStatus.APPLIED: frozenset(
        {DeviceStatus.PROCESSED, DeviceStatus.AMOP_FAILED, DeviceStatus.REFUSED, DeviceStatus.UNCONFIRMED}
    ),
    DeviceStatus.AMOP_FAILED: frozenset({DeviceStatus.PROCESSED}),
    DeviceStatus.PROCESSED: frozenset(),
    DeviceStatus.REFUSED: frozenset({DeviceStatus.PENDING}),  # only by a person's retry of the bulk change
    DeviceStatus.SKIPPED: frozenset(),
}

ENDED_BULK_CHANGES: frozenset[BulkChangeStatus] = frozenset(
    {BulkChangeStatus.PROCESSED, BulkChangeStatus.PARTIAL, BulkChangeStatus.FAILED, BulkChangeStatus.REJECTED}
)
"""Bulk changes for which nothing is sent any more, unless a person retries them."""

UNDER_WAY: frozenset[BulkChangeStatus] = frozenset({BulkChangeStatus.QUEUED, BulkChangeStatus.PROCESSING})
"""Bulk changes that come to their end without anybody's word."""

SETTLED_DEVICES: frozenset[DeviceStatus] = frozenset(
    {DeviceStatus.PROCESSED, DeviceStatus.REFUSED, DeviceStatus.SKIPPED}
)
"""Devices whose outcome is known; no attempt moves them."""

OPEN_DEVICES: frozenset[DeviceStatus] = frozenset(DeviceStatus) - SETTLED_DEVICES - {DeviceStatus.WAITING}
"""Devices that hold their SIM: at most one open device change for an ICCID and service provider."""

FINISHABLE_DEVICES: frozenset[DeviceStatus] = SETTLED_DEVICES | {
    DeviceStatus.UNCONFIRMED,
    DeviceStatus.AMOP_FAILED,
}
"""States in which a bulk change may end: settled, or unknown and handed to reconciliation."""


def bulk_change_sources(target: BulkChangeStatus) -> frozenset[BulkChangeStatus]:
    """The states from which a bulk change may move to `target`."""
    return frozenset(source for source, targets in BULK_CHANGE_TRANSITIONS.items() if target in targets)


def device_sources(target: DeviceStatus) -> frozenset[DeviceStatus]:
    """The states from which a device change may move to `target`."""
    return frozenset(source for source, targets in DEVICE_TRANSITIONS.items() if target in targets)
