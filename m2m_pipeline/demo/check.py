"""Holds what we say of each device against the carrier's ledger and its devices as they are now."""

from collections.abc import Iterable, Sequence

import pandas as pd

from m2m_pipeline.demo.fleet import RATE_PLAN, Fleet
from m2m_pipeline.domain.status import DeviceStatus
from m2m_pipeline.simulator.documents import DeviceView, LedgerChange


def differences(
    fleet: Fleet, rows: Iterable[tuple[str, ...]], changes: Sequence[LedgerChange], devices: Sequence[DeviceView]
) -> list[str]:
    """Every line whose outcome is not what the ledger shows, or not what was planned; empty when all is true.

    `rows` are the result's: iccid, status, old plan, new plan, carrier code, message.
    """
    ours = pd.DataFrame([row[:2] for row in rows], columns=["iccid", "status"])
    if len(ours) != len(fleet.lines):
        return [f"{len(ours)} lines have an outcome, {len(fleet.lines)} were sent"]
    ours["planned"] = [status.value for status, _ in fleet.expected]
    ours["effective_changes"] = ours["iccid"].map(pd.Series([c.iccid for c in changes], dtype=str).value_counts())
    ours["carrier_plan"] = ours["iccid"].map({device.iccid: device.rate_plan for device in devices})
    ours = ours.fillna({"effective_changes": 0, "carrier_plan": ""})
    said_changed = ours["status"] == DeviceStatus.PROCESSED
    first_line = ~ours["iccid"].duplicated()
    faults = {
        "is not what was planned": ours["status"] != ours["planned"],
        "is said to be changed, but the ledger shows no change": said_changed & (ours["effective_changes"] == 0),
        "was changed more than once": ours["effective_changes"] > 1,
        "was changed, but we do not say so": first_line & ~said_changed & (ours["effective_changes"] > 0),
        "is said to be changed, but is on another plan": said_changed & (ours["carrier_plan"] != RATE_PLAN),
    }
    return [f"{iccid} {fault}" for fault, where in faults.items() for iccid in ours.loc[where, "iccid"]]
