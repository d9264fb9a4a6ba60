"""Every UPDATE of a status is guarded by the transition table: an illegal move touches no row at all."""

import pytest
from sqlalchemy import text

from m2m_pipeline.domain.attempt import Attempt
from m2m_pipeline.domain.change import Step
from m2m_pipeline.domain.outcome import LastAnswer
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.status import DEVICE_TRANSITIONS, SETTLED_DEVICES, DeviceStatus
from m2m_pipeline.storage import amop, audit, details, device_changes, retries, tallies
from m2m_pipeline.storage.device_changes import IllegalMoveError
from m2m_pipeline_tests.storage.conftest import Stock


def put_into(stock: Stock, bulk_change_id: int, status: DeviceStatus) -> None:
    with stock.database.begin() as tx:
        tx.execute(
            text("UPDATE m2m.device_change SET status = :status, reason = 'DUPLICATE' WHERE bulk_change_id = :id"),
            {"status": status.value, "id": bulk_change_id},
        )


def take(stock: Stock, *steps: Step) -> None:
    with stock.database.begin() as tx:
        device_changes.take_steps(tx, steps)


@pytest.mark.parametrize("source", DeviceStatus)
def test_only_a_pending_device_is_marked_as_sending(stock: Stock, source: DeviceStatus) -> None:
    bulk_change_id = stock.record()
    put_into(stock, bulk_change_id, source)
    if source is DeviceStatus.PENDING:
        with stock.database.begin() as tx:
            device_changes.mark_sending(tx, stock.ids(bulk_change_id))
        assert stock.column("attempts", bulk_change_id) == [1, 1, 1]
    else:
        with pytest.raises(IllegalMoveError), stock.database.begin() as tx:
            device_changes.mark_sending(tx, stock.ids(bulk_change_id))
        assert stock.statuses(bulk_change_id) == [source.value] * 3


def test_one_illegal_move_takes_all_others_of_its_commit_back(stock: Stock) -> None:
    bulk_change_id = stock.record()
    first, second, third = stock.ids(bulk_change_id)
    with stock.database.begin() as tx:
        device_changes.mark_sending(tx, [first, second])
    steps = [Step(id_, DeviceStatus.APPLIED) for id_ in (first, second, third)]
    with pytest.raises(IllegalMoveError), stock.database.begin() as tx:
        device_changes.take_steps(tx, steps)
    assert stock.statuses(bulk_change_id) == ["SENDING", "SENDING", "PENDING"]


@pytest.mark.parametrize("source", DeviceStatus)
def test_a_step_is_taken_along_a_transition_or_not_at_all(stock: Stock, source: DeviceStatus) -> None:
    bulk_change_id = stock.record(1)
    (id_,) = stock.ids(bulk_change_id)
    for target in DeviceStatus:
        put_into(stock, bulk_change_id, source)
        step = Step(id_, target, ReasonCode.OUTCOME_UNKNOWN, "why")
        legal = target in DEVICE_TRANSITIONS[source] and source not in SETTLED_DEVICES  # a retry is no step
        if legal or target is source:  # the same again: a commit whose answer was lost
            take(stock, step)
            assert stock.statuses(bulk_change_id) == [target.value]
        else:
            with pytest.raises(IllegalMoveError):
                take(stock, step)
            assert stock.statuses(bulk_change_id) == [source.value]


@pytest.mark.parametrize("answer", [None, *LastAnswer])
def test_what_a_change_was_answered_outlasts_its_attempt(stock: Stock, answer: LastAnswer | None) -> None:
    """For the next attempt, for reconciliation, and not for a call that is made anew."""
    bulk_change_id = stock.record(1)
    (id_,) = stock.ids(bulk_change_id)
    with stock.database.begin() as tx:
        details.assign_batches(tx, bulk_change_id, 1)
        device_changes.mark_sending(tx, [id_])
    take(stock, Step(id_, DeviceStatus.APPLIED, last_answer=answer))
    with stock.database.begin() as tx:
        (claimed,) = device_changes.load_work(tx, bulk_change_id, 1)
        details.leave_unknown(tx, bulk_change_id, "why")
        (resumed,) = device_changes.load_work(tx, bulk_change_id, 1)
        (settled,) = device_changes.load_unknown(tx, bulk_change_id)
    assert (claimed.last_answer, resumed.last_answer, settled.last_answer) == (answer,) * 3

    take(stock, Step(id_, DeviceStatus.REFUSED, ReasonCode.ATTEMPTS_EXHAUSTED, last_answer=answer))
    with stock.database.begin() as tx:
        assert retries.take_back(tx, bulk_change_id).pending == 1
    assert stock.column("last_answer", bulk_change_id) == [None]


def test_an_old_plan_that_nobody_knew_is_kept_as_it_showed_first(stock: Stock) -> None:
    bulk_change_id = stock.record(2)
    known, unknown = stock.ids(bulk_change_id)
    with stock.database.begin() as tx:
        tx.execute(text("UPDATE m2m.device_change SET old_rate_plan = 'Old' WHERE id = :id"), {"id": known})
        device_changes.mark_sending(tx, [known, unknown])
    for plan in ("Shown", "Later"):
        take(stock, *(Step(id_, DeviceStatus.UNCONFIRMED, old_rate_plan=plan) for id_ in (known, unknown)))
    assert stock.column("old_rate_plan", bulk_change_id) == ["Old", "Shown"]


def test_a_settled_device_has_a_time_of_its_end_and_an_open_one_has_none(stock: Stock) -> None:
    bulk_change_id = stock.record()
    ids = stock.ids(bulk_change_id)
    with stock.database.begin() as tx:
        device_changes.mark_sending(tx, ids)
        device_changes.take_steps(
            tx,
            [
                Step(ids[0], DeviceStatus.REFUSED, ReasonCode.CARRIER_REFUSED),
                Step(ids[1], DeviceStatus.UNCONFIRMED, ReasonCode.OUTCOME_UNKNOWN),
                Step(ids[2], DeviceStatus.PENDING),
            ],
        )
    assert [ended is not None for ended in stock.column("ended_at", bulk_change_id)] == [True, False, False]


def test_what_was_not_sent_ends_and_what_was_sent_is_left_to_reconciliation(stock: Stock) -> None:
    bulk_change_id = stock.record()
    with stock.database.begin() as tx:
        device_changes.mark_sending(tx, stock.ids(bulk_change_id)[:1])
        details.end_unsent(tx, bulk_change_id, ReasonCode.WRITES_DISABLED)
    assert stock.statuses(bulk_change_id) == ["UNCONFIRMED", "REFUSED", "REFUSED"]


@pytest.mark.parametrize("source", DeviceStatus)
def test_amop_follows_only_what_the_carrier_has_applied(stock: Stock, source: DeviceStatus) -> None:
    bulk_change_id = stock.record(1)
    with stock.database.begin() as tx:
        details.fill_details(tx, bulk_change_id)
    put_into(stock, bulk_change_id, source)
    (id_,) = stock.ids(bulk_change_id)
    applied = source in {DeviceStatus.APPLIED, DeviceStatus.AMOP_FAILED}
    with stock.database.begin() as tx:
        assert amop.update(tx, [id_]) == int(applied)
    with stock.database.begin() as tx:
        plan = tx.execute(
            text("SELECT rate_plan FROM m2m.device WHERE service_provider_id = :id ORDER BY iccid LIMIT 1"),
            {"id": stock.ours.id},
        ).scalar_one()
    assert plan == ("New" if applied else "Old")
    assert stock.statuses(bulk_change_id) == ["PROCESSED" if applied else source.value]


def test_the_old_plan_of_a_device_that_was_sent_stays_as_it_was_found(stock: Stock) -> None:
    bulk_change_id = stock.record(1)
    with stock.database.begin() as tx:
        details.fill_details(tx, bulk_change_id)
        device_changes.mark_sending(tx, stock.ids(bulk_change_id))
        tx.execute(text("UPDATE m2m.device SET rate_plan = 'Moved'"))
        details.fill_details(tx, bulk_change_id)
    assert stock.column("old_rate_plan", bulk_change_id) == ["Old"]


def test_endings_are_told_once_however_often_they_are_written(stock: Stock) -> None:
    bulk_change_id = stock.record()
    with stock.database.begin() as tx:
        details.end_unsent(tx, bulk_change_id, ReasonCode.WRITES_DISABLED)
        assert audit.write_endings(tx, bulk_change_id, "run 1") == 3
        assert audit.write_endings(tx, bulk_change_id, "run 1") == 0
    with stock.database.begin() as tx:
        assert audit.write_endings(tx, bulk_change_id, "run 2", settled_only=True) == 0
        assert tx.execute(text("SELECT count(*) FROM m2m.audit_entry WHERE kind = 'DEVICE_ENDED'")).scalar_one() == 3


def test_what_a_call_said_is_told_with_from_and_to(stock: Stock) -> None:
    bulk_change_id = stock.record(1)
    (id_,) = stock.ids(bulk_change_id)
    attempt = Attempt(bulk_change_id, stock.ours.tenant_id, 1, "r")
    step = Step(id_, DeviceStatus.APPLIED, None, "words", 200, "code", attempts=1, entry="CARRIER_CALL")
    with stock.database.begin() as tx:
        details.fill_details(tx, bulk_change_id)
        audit.write_steps(tx, attempt, [step, Step(id_, DeviceStatus.APPLIED)])
        entries = tx.execute(
            text("SELECT kind, actor, old_rate_plan, new_rate_plan, request, response FROM m2m.audit_entry")
        ).all()
    assert [tuple(entry) for entry in entries] == [
        (
            "CARRIER_CALL",
            "run r",
            "Old",
            "New",
            {"attempt": 1, "ratePlan": "New"},
            {"httpStatus": 200, "errorCode": "code"},
        )
    ]


def test_a_bulk_change_may_not_end_with_open_devices(stock: Stock) -> None:
    bulk_change_id = stock.record()
    with stock.database.begin() as tx:
        assert tallies.count_unfinished(tx, bulk_change_id) == 3
    for status in (DeviceStatus.SENDING, DeviceStatus.APPLIED):
        put_into(stock, bulk_change_id, status)
        with stock.database.begin() as tx:
            assert tallies.count_unfinished(tx, bulk_change_id) == 3
    for status in (DeviceStatus.UNCONFIRMED, DeviceStatus.AMOP_FAILED, DeviceStatus.PROCESSED):
        put_into(stock, bulk_change_id, status)
        with stock.database.begin() as tx:
            assert tallies.count_unfinished(tx, bulk_change_id) == 0
