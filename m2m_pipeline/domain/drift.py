"""Where AMOP and the carrier differ: the causes as one table, and the decision which of them it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from m2m_pipeline.domain.carrier import DeviceReading


class DriftCause(StrEnum):
    """Why a device differs. The name is what a client may rely on."""

    CHANGE_IN_PROGRESS = "CHANGE_IN_PROGRESS"
    SCHEDULED = "SCHEDULED"
    MADE_OUTSIDE = "MADE_OUTSIDE"
    PLAN_UNKNOWN = "PLAN_UNKNOWN"
    DEVICE_GONE = "DEVICE_GONE"
    DEVICE_NEW = "DEVICE_NEW"


@dataclass(frozen=True, slots=True)
class Cause:
    """What a cause means, whether it is drift at all, and what a person does next."""

    title: str
    is_drift: bool
    next_step: str


CAUSES: Mapping[DriftCause, Cause] = {
    DriftCause.CHANGE_IN_PROGRESS: Cause(
        "held by a bulk change", False, "Nothing to do: AMOP follows when the bulk change ends."
    ),
    DriftCause.SCHEDULED: Cause(
        "changed on its effective date", False, "Nothing to do: settling tells AMOP once the date has come."
    ),
    DriftCause.MADE_OUTSIDE: Cause(
        "changed at the carrier, outside AMOP",
        True,
        "Decide which plan is meant: let AMOP follow, or move the device back with a bulk change.",
    ),
    DriftCause.PLAN_UNKNOWN: Cause(
        "on a rate plan that AMOP does not know",
        True,
        "Load the provider's plans with `m2m plans import` or `m2m devices sync`, then decide which plan is meant.",
    ),
    DriftCause.DEVICE_GONE: Cause(
        "no longer at the carrier",
        True,
        "Ask the carrier whether the SIM was moved or removed; AMOP keeps it until then.",
    ),
    DriftCause.DEVICE_NEW: Cause(
        "at the carrier, not in AMOP", True, "Load it with `m2m devices sync`, or let AMOP follow."
    ),
}

DRIFT = frozenset(cause for cause, meant in CAUSES.items() if meant.is_drift)
"""What counts as drift: nothing of ours explains it."""

FOLLOWED = frozenset({DriftCause.MADE_OUTSIDE, DriftCause.PLAN_UNKNOWN, DriftCause.DEVICE_NEW})
"""What AMOP takes over under the policy `follow`. A device that is gone is never removed: a person decides."""

MOVED_BACK = frozenset({DriftCause.MADE_OUTSIDE, DriftCause.PLAN_UNKNOWN})
"""For what the policy `propose` prepares a bulk change."""


class Resolution(StrEnum):
    """How a difference went away."""

    AMOP_FOLLOWED = "AMOP_FOLLOWED"  # AMOP now shows what the carrier shows, or has it with a neighbouring provider
    CARRIER_RETURNED = "CARRIER_RETURNED"  # the carrier shows what AMOP shows
    GONE_FROM_BOTH = "GONE_FROM_BOTH"  # neither has the device any more


@dataclass(frozen=True, slots=True)
class AmopView:
    """What AMOP knows of an ICCID at one moment.

    `open_change`: a bulk change that was started holds the device; `scheduled`: the carrier took it for a later date.
    `steady`: AMOP's row has not been written since the carrier was asked.
    """

    iccid: str
    known: bool
    rate_plan: str | None
    communication_plan: str | None
    open_change: bool
    scheduled: bool
    steady: bool


def differs(amop: AmopView, reading: DeviceReading | None) -> bool:
    """Whether the carrier (None: it does not know the device) shows otherwise than AMOP.

    What the carrier does not tell is no difference.
    """
    if reading is None or not amop.known:
        return (reading is None) == amop.known
    return reading.rate_plan not in {None, amop.rate_plan} or reading.communication_plan not in {
        None,
        amop.communication_plan,
    }


def cause(amop: AmopView, reading: DeviceReading | None, *, plan_known: bool) -> DriftCause | None:
    """Why AMOP and the carrier differ; None where they do not, or where it cannot be told from this reading.

    `plan_known`: the carrier's rate plan is among those that AMOP has for the provider.
    """
    if not differs(amop, reading):
        return None
    if amop.open_change:
        return DriftCause.SCHEDULED if amop.scheduled else DriftCause.CHANGE_IN_PROGRESS
    if not amop.steady:
        return None
    if reading is None:
        return DriftCause.DEVICE_GONE
    if not amop.known:
        return DriftCause.DEVICE_NEW
    return DriftCause.MADE_OUTSIDE if plan_known else DriftCause.PLAN_UNKNOWN
