"""The end of a bulk change: counted from rows, refused while a device is open."""

from collections.abc import Mapping

from sqlalchemy import Connection

from m2m_pipeline.domain.attempt import Attempt, OpenDevicesError
from m2m_pipeline.domain.audit import AuditKind
from m2m_pipeline.domain.change import BulkChange
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.status import BulkChangeStatus, DeviceStatus
from m2m_pipeline.services.notifying import tell_end
from m2m_pipeline.services.reporting import ResultDocument, fold
from m2m_pipeline.storage import audit, bulk_changes, details, tallies
from m2m_pipeline.storage.database import Database, retrying_transient


def final_status(counts: Mapping[DeviceStatus, int], *, stopped: bool = False) -> BulkChangeStatus:
    """What the devices' ends make of their bulk change.

    PROCESSED where every device was changed or needed no change; FAILED where none was changed and none may have been;
    PARTIAL otherwise. `stopped`: something stood in the way of the whole change, so it is not done even if all that was
    left needed no change.
    """
    not_done = sum(counts.get(s, 0) for s in (DeviceStatus.REFUSED, DeviceStatus.UNCONFIRMED, DeviceStatus.AMOP_FAILED))
    if not not_done:
        kept_from_everything = stopped and not counts.get(DeviceStatus.PROCESSED)
        return BulkChangeStatus.FAILED if kept_from_everything else BulkChangeStatus.PROCESSED
    changed_or_unknown = (DeviceStatus.PROCESSED, DeviceStatus.UNCONFIRMED, DeviceStatus.AMOP_FAILED)
    return BulkChangeStatus.PARTIAL if any(counts.get(s) for s in changed_or_unknown) else BulkChangeStatus.FAILED


@retrying_transient
def finish(database: Database, attempt: Attempt, rejected: bool = False) -> ResultDocument:
    """End the bulk change with the truth of its rows, and keep the result document with it.

    Devices that were never sent because of a reason that holds for all end with that reason.

    Raises:
        OpenDevicesError: a device is in a state in which its bulk change may not end.
        LeaseLostError: another attempt owns the bulk change.

    """
    with database.fenced(attempt) as tx:
        change = bulk_changes.find(tx, attempt.bulk_change_id)
        assert change is not None
        if change.reason is not None:
            details.end_unsent(tx, change.id, change.reason)
        unfinished = tallies.count_unfinished(tx, change.id)
        if unfinished:
            raise OpenDevicesError(
                f"Bulk change {change.id}: {unfinished} devices are open, so it has not ended. Nothing was guessed. "
                "Re-execute all steps of the run: devices that are settled are not sent again."
            )
        status = _status(tx, change, rejected=rejected)
        return end(tx, change, status, f"run {attempt.owner}")


@retrying_transient
def finish_again(database: Database, attempt: Attempt) -> ResultDocument:
    """Tell the end of a bulk change anew, after reconciliation has settled some of its devices.

    Raises:
        LeaseLostError: somebody else settles the bulk change.

    """
    with database.fenced(attempt) as tx:
        change = bulk_changes.find(tx, attempt.bulk_change_id)
        assert change is not None
        return end(tx, change, _status(tx, change), f"run {attempt.owner}")


def _status(tx: Connection, change: BulkChange, *, rejected: bool = False) -> BulkChangeStatus:
    if rejected:
        return BulkChangeStatus.REJECTED
    return final_status(fold(tx, change).counts, stopped=change.reason is not None)


def end(tx: Connection, change: BulkChange, status: BulkChangeStatus, actor: str) -> ResultDocument:
    """End a bulk change whose devices have ended: its row, its entries in the audit log, its document and notices."""
    audit.write_endings(tx, change.id, actor)
    bulk_changes.end(tx, change.id, status)
    ended = bulk_changes.find(tx, change.id)
    assert ended is not None
    document = fold(tx, ended)
    audit.write(
        tx,
        AuditKind.BULK_CHANGE_ENDED,
        tenant_id=change.tenant_id,
        actor=actor,
        outcome=status.value,
        service_provider_id=change.service_provider_id,
        bulk_change_id=change.id,
        reason=change.reason,
        message=change.message,
        request={"counts": {name.value: count for name, count in document.counts.items()}},
    )
    tell_end(tx, change, document)
    bulk_changes.store_result(tx, change.id, document.model_dump(mode="json"))
    return document


@retrying_transient
def stop(database: Database, attempt: Attempt, reason: ReasonCode, message: str) -> None:
    """Remember a reason that holds for every device: nothing more is sent in this bulk change."""
    with database.fenced(attempt) as tx:
        bulk_changes.stop(tx, attempt, reason, message)
