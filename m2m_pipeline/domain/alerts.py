"""The alerts: one table that the watcher, the documentation and the tests read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from m2m_pipeline.domain.commands import Words


class AlertName(StrEnum):
    """What an operator is told of. The name is what a receiver may rely on."""

    CHANGE_FAILED = "CHANGE_FAILED"
    CHANGE_PARTIAL = "CHANGE_PARTIAL"
    BREAKER_OPEN = "BREAKER_OPEN"
    QUEUE_STUCK = "QUEUE_STUCK"
    ATTEMPTS_DIE = "ATTEMPTS_DIE"
    DRIFT = "DRIFT"
    RECONCILIATION_STALE = "RECONCILIATION_STALE"
    PROMISE_BROKEN = "PROMISE_BROKEN"
    UPKEEP_FAILED = "UPKEEP_FAILED"
    UPKEEP_LATE = "UPKEEP_LATE"
    NOTICES_DEAD = "NOTICES_DEAD"
    PLATFORM_SILENT = "PLATFORM_SILENT"


@dataclass(frozen=True, slots=True)
class Alert:
    """When it is raised (and, where that no longer holds, resolved), what to look at, and what to type.

    The commands are templates (`domain.commands`).
    """

    title: str
    raised_when: str
    look_at: str
    commands: tuple[str, ...]


BREAKER_LIMIT_SECONDS = 600.0
FRUITLESS_ATTEMPTS = 2
ENDED_WITHIN_HOURS = 24.0
SILENCE_LIMIT_SECONDS = 180.0

ALERTS: Mapping[AlertName, Alert] = {
    AlertName.CHANGE_FAILED: Alert(
        "a bulk change failed",
        f"it ended as FAILED in the last {ENDED_WITHIN_HOURS:g} hours and has not been retried",
        "The reason in its result: it names what stood in the way of the whole change, and the next step.",
        ("m2m result ID --tenant TENANT", "m2m retry ID --tenant TENANT"),
    ),
    AlertName.CHANGE_PARTIAL: Alert(
        "a bulk change is partial",
        f"it ended as PARTIAL in the last {ENDED_WITHIN_HOURS:g} hours and has not been retried or settled",
        "Its failures by reason; devices whose outcome is unknown are settled by reconciliation.",
        (
            "m2m result ID --tenant TENANT",
            "m2m reconcile --provider NAME --tenant TENANT",
            "m2m retry ID --tenant TENANT",
        ),
    ),
    AlertName.BREAKER_OPEN: Alert(
        "a carrier does not answer",
        f"no call, or no change, was answered for {BREAKER_LIMIT_SECONDS:g} seconds since an account's breaker opened",
        "Whether the carrier has an outage, or our network does; the breaker closes by itself at the first answer.",
        ("m2m provider list --tenant TENANT",),
    ),
    AlertName.QUEUE_STUCK: Alert(
        "the queue does not move",
        "a bulk change has waited for `M2M_QUEUE_LIMIT_MINUTES`, for no other one, while no run works on its account",
        "Whether the Dagster daemon runs, the sensor dispatch_bulk_changes is on, and its last ticks have errors.",
        ("m2m health", "m2m status ID --tenant TENANT"),
    ),
    AlertName.ATTEMPTS_DIE: Alert(
        "attempts at a bulk change die",
        f"{FRUITLESS_ATTEMPTS} attempts in a row lost their lease and brought no device any further",
        "The failed runs of the bulk change in Dagster: memory, the host, the database's connections.",
        ("m2m status ID --tenant TENANT",),
    ),
    AlertName.DRIFT: Alert(
        "AMOP and the carrier differ",
        "more than `M2M_DRIFT_LIMIT_SHARE` of a provider's devices differ, for causes that are drift",
        "The causes of the drift: who changed devices at the carrier, outside AMOP.",
        ("m2m drift --provider NAME --tenant TENANT",),
    ),
    AlertName.RECONCILIATION_STALE: Alert(
        "nobody has compared AMOP with the carrier lately",
        "a provider that can be asked and has devices has had no complete pass for `M2M_RECONCILE_LIMIT_HOURS`",
        "The last runs of the job reconciliation for it, and whether its schedule reconcile_regularly is on.",
        ("m2m reconcile --provider NAME --tenant TENANT",),
    ),
    AlertName.PROMISE_BROKEN: Alert(
        "a promise is broken",
        "a check of the catalog fails as an error, held against everything; those above tell of their own",
        "The check of that name in Dagster's catalog: it names the rows that break it, and what to do.",
        ("m2m audit verify", "m2m health"),
    ),
    AlertName.UPKEEP_FAILED: Alert(
        "scheduled work failed",
        "the last run of a scheduled job failed or died; of reconciliation, the last for a provider",
        "The last run of that job in Dagster.",
        ("m2m audit verify", "m2m audit digest"),
    ),
    AlertName.UPKEEP_LATE: Alert(
        "scheduled work is not done",
        "a run of the job audit_digest, audit_verification, checks, daily_statistics_job or retention was due by its "
        "schedule, and none has ended well in the `M2M_UPKEEP_LIMIT_HOURS` since",
        "Whether the job's schedule is on in Dagster, its last ticks have errors, and what its last runs came to.",
        ("m2m health",),
    ),
    AlertName.NOTICES_DEAD: Alert(
        "notices were given up",
        f"a notice was given up in the last {ENDED_WITHIN_HOURS:g} hours and not driven again",
        "The reason with the notice: the receiver, its address, or its certificate.",
        (
            "m2m notices --status DEAD --tenant TENANT",
            "m2m webhook test N --tenant TENANT",
            "m2m notices retry ID --tenant TENANT",
        ),
    ),
    AlertName.PLATFORM_SILENT: Alert(
        "the platform gives no sign of life",
        f"the watching sensor has not ticked for {SILENCE_LIMIT_SECONDS:g} seconds; the process of `m2m serve` tells",
        "The Dagster daemon and its log: while it is silent nothing starts or heals, and nothing else is told.",
        ("m2m health", "m2m up"),
    ),
}

AGING = frozenset({AlertName.CHANGE_FAILED, AlertName.CHANGE_PARTIAL, AlertName.NOTICES_DEAD})
"""Those that close in silence once they are old: nobody has done anything about them, so they are not resolved."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that holds now. Name and subject together are one alert, however long it holds."""

    name: AlertName
    subject: str
    detail: str
    words: Words = field(default_factory=dict[str, str | None])  # for the commands
