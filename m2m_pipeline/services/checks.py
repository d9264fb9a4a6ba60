"""Promises that are held against the rows: which there are, what breaks them, and what to do then."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from m2m_pipeline.domain.alerts import AlertName
from m2m_pipeline.domain.commands import sentence
from m2m_pipeline.services.auditing import Auditing
from m2m_pipeline.storage import checks
from m2m_pipeline.storage.breaches import MOST, Breach, Broken, Question, Scope
from m2m_pipeline.storage.database import Database

DAYS = 30
"""Bulk changes that ended longer ago are not looked at again."""


class Check(StrEnum):
    """The promises, by the name that the catalog shows."""

    COUNTS_BALANCE = "counts_balance"
    NO_DEVICE_OPEN = "no_device_open_after_the_end"
    NO_DEVICE_REFUSED = "no_refused_device_left"
    AUDIT_COMPLETE = "audit_entries_complete"
    CHAIN_VERIFIES = "audit_chain_verifies"
    AMOP_EQUALS_CARRIER = "amop_equals_the_carrier"
    RECONCILIATION_FRESH = "reconciliation_is_fresh"
    NOTHING_UNKNOWN = "nothing_unknown_for_too_long"
    DRIFT_IN_BOUNDS = "drift_under_the_threshold"
    BUDGET_KEPT = "budget_never_exceeded"
    QUEUE_MOVES = "queue_moves"


@dataclass(frozen=True, slots=True)
class Promise:
    """What holds (`title`), the rows that break it, and what to do about them.

    `at_each_end`: it is told at the end of each bulk change, of that change alone.
    `only_warns`: it is not ours to keep, so a warning.
    `alert`: which one tells the operators that it is broken, if any.
    The commands in `next_step` are templates (`domain.commands`).
    """

    title: str
    broken: Question | None  # None: the audit log's own proof
    next_step: str
    at_each_end: bool = False
    only_warns: bool = False
    alert: AlertName | None = AlertName.PROMISE_BROKEN


PROMISES: Mapping[Check, Promise] = {
    Check.COUNTS_BALANCE: Promise(
        "The result document of each ended bulk change counts what its rows count.",
        checks.counts_off,
        "Nobody but the services may write to the tables: look at the audit log for who did, then "
        "`m2m result ID --tenant TENANT`.",
        at_each_end=True,
    ),
    Check.NO_DEVICE_OPEN: Promise(
        "No device of an ended bulk change is open: each is settled, or handed to reconciliation.",
        checks.open_after_the_end,
        "`m2m reconcile --provider NAME --tenant TENANT` settles what the carrier can tell; then "
        "`m2m retry ID --tenant TENANT` for what is refused.",
        at_each_end=True,
    ),
    Check.NO_DEVICE_REFUSED: Promise(
        "No device of an ended bulk change is left refused for a reason that another try may help.",
        checks.left_refused,
        "`m2m result ID --tenant TENANT` names the reasons; `m2m retry ID --tenant TENANT`, or the button on the "
        "change's page, tries them again.",
        at_each_end=True,
        only_warns=True,
        alert=None,
    ),
    Check.AUDIT_COMPLETE: Promise(
        "Each ended bulk change has the audit entry of its end, each of its devices too, and what was called for it.",
        checks.untold,
        "`m2m reconcile --provider NAME --tenant TENANT` writes what is missing of what is unsettled; else it is a "
        "fault of ours.",
        at_each_end=True,
    ),
    Check.CHAIN_VERIFIES: Promise(
        "The chain over the audit log is whole, from each tenant's last digest on.",
        None,
        "`m2m audit verify --tenant TENANT` names the first bad entry and what is proven; keep the database as it is.",
    ),
    Check.AMOP_EQUALS_CARRIER: Promise(
        "On each device that a bulk change has moved AMOP and the carrier agree, as the last pass saw it.",
        checks.off_the_carrier,
        "`m2m drift --provider NAME --format csv --tenant TENANT` lists them: follow the carrier, or move them back.",
    ),
    Check.RECONCILIATION_FRESH: Promise(
        "Each provider that can be asked and has devices has been compared with the carrier within the limit.",
        checks.not_reconciled,
        "`m2m reconcile --provider NAME --tenant TENANT` does it, or says why not; then see that its schedule is on.",
        alert=AlertName.RECONCILIATION_STALE,
    ),
    Check.NOTHING_UNKNOWN: Promise(
        "No outcome is unknown for longer than the limit.",
        checks.unknown_too_long,
        "`m2m reconcile --provider NAME --tenant TENANT` says why the carrier cannot be asked.",
    ),
    Check.DRIFT_IN_BOUNDS: Promise(
        "The drift of each provider is under the threshold.",
        checks.too_much_drift,
        "`m2m drift --provider NAME --tenant TENANT` tells the causes, and for each what to do.",
        alert=AlertName.DRIFT,
    ),
    Check.BUDGET_KEPT: Promise(
        "Nothing called a carrier more often than its account allows.",
        checks.over_budget,
        "Compare `m2m provider list` with the contract: it is a fault of ours if what is configured there is right.",
    ),
    Check.QUEUE_MOVES: Promise(
        "No bulk change has waited for a run for longer than the limit while no run works on its account.",
        checks.stuck_in_the_queue,
        "See that the Dagster daemon runs and its dispatch sensor is on, and that runs are not all taken.",
        alert=AlertName.QUEUE_STUCK,
    ),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a promise holds; the first hundred rows that break it, each with what is wrong.

    `bulk_change_id`: of which bulk change alone it was told.
    """

    check: Check
    broken: Broken
    bulk_change_id: int | None = None

    @property
    def holds(self) -> bool:
        """Whether nothing breaks it."""
        return not self.broken

    @property
    def sentence(self) -> str:
        """What holds; or the first row that breaks it, how many there are, and what to do about that row."""
        promise = PROMISES[self.check]
        if self.holds:
            return f"Bulk change {self.bulk_change_id}: {promise.title}" if self.bulk_change_id else promise.title
        first, found = self.broken[0], len(self.broken)
        more = f" ({found}{' or more' if found >= MOST else ''} in all)" if found > 1 else ""
        return f"{first.row}: {first.wrong}{more}. {sentence(promise.next_step, first.words)}"


class Checks:
    """Reads; writes nothing but the links of audit entries that have none yet."""

    def __init__(self, database: Database, auditing: Auditing, limits: Scope) -> None:
        self._database = database
        self._auditing = auditing
        self._limits = limits

    def of_everything(self, chosen: Iterable[Check] = PROMISES) -> Sequence[Verdict]:
        """The chosen promises, held against everything."""
        return [self._verdict(check, self._limits) for check in chosen]

    def at_end_of(self, bulk_change_id: int, doubtful: Collection[Check]) -> Sequence[Verdict]:
        """The promises that are told at the end of a bulk change.

        A `doubtful` one, which may be broken elsewhere, is held against everything where this change keeps it: an end
        that went well must not hide what another left.
        """
        alone = replace(self._limits, bulk_change_id=bulk_change_id)
        of_it = [self._verdict(check, alone) for check, promise in PROMISES.items() if promise.at_each_end]
        return [self._verdict(one.check, self._limits) if one.holds and one.check in doubtful else one for one in of_it]

    def _verdict(self, check: Check, scope: Scope) -> Verdict:
        question = PROMISES[check].broken
        if question is None:
            recent = self._auditing.verify_recent()
            faults = [Breach(one.tenant, str(one.fault), {"TENANT": one.tenant}) for one in recent if not one.holds]
            return Verdict(check, faults)
        with self._database.begin() as tx:
            return Verdict(check, question(tx, scope), scope.bulk_change_id)
