"""The alerts: one table that the watcher, the documentation and the tests read."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class AlertName(StrEnum):
    """What an operator is told of. The name is what a receiver may rely on."""

    CHANGE_FAILED = "CHANGE_FAILED"
    CHANGE_PARTIAL = "CHANGE_PARTIAL"
    BREAKER_OPEN = "BREAKER_OPEN"
    QUEUE_STUCK = "QUEUE_STUCK"
    ATTEMPTS_DIE = "ATTEMPTS_DIE"
    DRIFT = "DRIFT"
    NOTICES_DEAD = "NOTICES_DEAD"
    PLATFORM_SILENT = "PLATFORM_SILENT"


@dataclass(frozen=True, slots=True)
class Alert:
    """When it is raised (and, where that no longer holds, resolved), what to look at, and what to type."""

    title: str
    raised_when: str
    look_at: str
    commands: tuple[str, ...]


BREAKER_LIMIT_SECONDS = 600.0
QUEUE_LIMIT_SECONDS = 600.0
FRUITLESS_ATTEMPTS = 2
DRIFT_LIMIT_DEVICES = 100
ENDED_WITHIN_HOURS = 24.0
SILENCE_LIMIT_SECONDS = 180.0

ALERTS: Mapping[AlertName, Alert] = {
    AlertName.CHANGE_FAILED: Alert(
        "a bulk change failed",
        f"it ended as FAILED in the last {ENDED_WITHIN_HOURS:g} hours and has not been retried",
        "The reason in its result: it names what stood in the way of the whole change, and the next step.",
        ("m2m result ID", "m2m retry ID"),
    ),
    AlertName.CHANGE_PARTIAL: Alert(
        "a bulk change is partial",
        f"it ended as PARTIAL in the last {ENDED_WITHIN_HOURS:g} hours and has not been retried or settled",
        "Its failures by reason; devices whose outcome is unknown are settled by reconciliation.",
        ("m2m result ID", "m2m reconcile --provider NAME", "m2m retry ID"),
    ),
    AlertName.BREAKER_OPEN: Alert(
        "a carrier does not answer",
        f"an account's breaker has been open for {BREAKER_LIMIT_SECONDS:g} seconds",
        "Whether the carrier has an outage, or our network does; the breaker closes by itself at the first answer.",
        ("m2m provider list",),
    ),
    AlertName.QUEUE_STUCK: Alert(
        "the queue does not move",
        f"a bulk change has waited for {QUEUE_LIMIT_SECONDS:g} seconds while no run works on any",
        "Whether the Dagster daemon runs, the sensor dispatch_bulk_changes is on, and its last ticks have errors.",
        ("m2m health", "m2m status ID"),
    ),
    AlertName.ATTEMPTS_DIE: Alert(
        "attempts at a bulk change die",
        f"{FRUITLESS_ATTEMPTS} attempts in a row lost their lease and brought no device to its end",
        "The failed runs of the bulk change in Dagster: memory, the host, the database's connections.",
        ("m2m status ID",),
    ),
    AlertName.DRIFT: Alert(
        "AMOP and the carrier differ",
        f"more than {DRIFT_LIMIT_DEVICES} devices of a provider differ, for causes that are drift",
        "The causes of the drift: who changed devices at the carrier, outside AMOP.",
        ("m2m reconcile --provider NAME",),
    ),
    AlertName.NOTICES_DEAD: Alert(
        "notices were given up",
        f"a notice was given up in the last {ENDED_WITHIN_HOURS:g} hours and not driven again",
        "The reason with the notice: the receiver, its address, or its certificate.",
        ("m2m notices --status DEAD", "m2m webhook test N", "m2m notices retry ID"),
    ),
    AlertName.PLATFORM_SILENT: Alert(
        "the platform gives no sign of life",
        f"the watching sensor has not ticked for {SILENCE_LIMIT_SECONDS:g} seconds; only `m2m health` can tell",
        "The Dagster daemon and its log: while it is silent nothing starts, heals or is told.",
        ("m2m health", "m2m up"),
    ),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that holds now. Name and subject together are one alert, however long it holds."""

    name: AlertName
    subject: str
    detail: str
