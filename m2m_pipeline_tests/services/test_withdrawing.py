"""A bulk change that nobody has started can be declined: an end like any other, and its SIMs are free again."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from m2m_pipeline.domain.notices import DestinationKind
from m2m_pipeline.services.reporting import BulkChangeUnknownError
from m2m_pipeline.services.submission import NotProcessableError
from m2m_pipeline.services.withdrawing import NotWithdrawableError
from m2m_pipeline_tests import invariants
from m2m_pipeline_tests.world import TENANT, World

ABSENT = "8988216716979999999"


def new(world: World, *more: str) -> int:
    """A bulk change that waits for a person."""
    return world.submit([*world.iccids, *more], process_changes=False, invalid_rows="skip").bulk_change_id


def test_what_is_withdrawn_ends_with_that_reason_and_by_whom_and_nothing_is_sent(world: World) -> None:
    bulk_change_id = new(world, ABSENT)

    document = world.services.withdrawing.withdraw(TENANT, bulk_change_id, "operator")

    assert (document.status, document.reason, document.message) == ("REJECTED", "WITHDRAWN", "Withdrawn by operator.")
    assert document == world.services.reporting.document(TENANT, bulk_change_id)
    assert {one.reason: (one.status, one.count) for one in document.failures} == {
        "WITHDRAWN": ("REFUSED", 3),
        "NOT_IN_INVENTORY": ("REFUSED", 1),
    }
    evidence = world.evidence(bulk_change_id)
    invariants.check_all(evidence)
    ended = [entry for entry in evidence.audit if entry.kind in {"DEVICE_ENDED", "BULK_CHANGE_ENDED"}]
    assert [entry.actor for entry in ended if entry.reason == "WITHDRAWN"] == ["operator"] * 4
    assert world.puts() == 0


def test_its_sims_are_free_and_its_end_is_told(world: World) -> None:
    world.services.destinations.store(TENANT, DestinationKind.WEBHOOK, "https://hooks.example.com/", None, "test")
    bulk_change_id = new(world)
    assert world.codes() == ["OPEN_CHANGE"] * 3

    world.services.withdrawing.withdraw(TENANT, bulk_change_id, "operator")

    assert world.codes() == []
    told = world.sql("SELECT body::jsonb->'data'->>'status' FROM m2m.notice WHERE bulk_change_id = %s", bulk_change_id)
    assert told == [("REJECTED",)]


def test_only_what_nobody_has_started_is_withdrawn(world: World) -> None:
    bulk_change_id = new(world)
    world.services.submission.process(TENANT, bulk_change_id, "starter")
    with pytest.raises(NotWithdrawableError, match="is QUEUED; only NEW ones"):
        world.services.withdrawing.withdraw(TENANT, bulk_change_id, "operator")
    world.run(bulk_change_id)
    with pytest.raises(NotWithdrawableError, match="is PROCESSED; only NEW ones"):
        world.services.withdrawing.withdraw(TENANT, bulk_change_id, "operator")
    with pytest.raises(BulkChangeUnknownError):
        world.services.withdrawing.withdraw("rival", bulk_change_id, "operator")
    assert world.sql("SELECT status, reason FROM m2m.bulk_change") == [("PROCESSED", None)]


def test_what_is_withdrawn_is_neither_started_nor_withdrawn_again(world: World) -> None:
    bulk_change_id = new(world)
    world.services.withdrawing.withdraw(TENANT, bulk_change_id, "operator")

    with pytest.raises(NotProcessableError):
        world.services.submission.process(TENANT, bulk_change_id, "starter")
    with pytest.raises(NotWithdrawableError):
        world.services.withdrawing.withdraw(TENANT, bulk_change_id, "another")
    assert world.sql("SELECT message FROM m2m.bulk_change") == [("Withdrawn by operator.",)]


def test_of_who_starts_and_who_withdraws_at_once_one_is_told_no(world: World) -> None:
    bulk_change_id = new(world)

    def started() -> bool:
        try:
            return bool(world.services.submission.process(TENANT, bulk_change_id, "starter"))
        except NotProcessableError:
            return False

    def withdrawn() -> bool:
        try:
            return bool(world.services.withdrawing.withdraw(TENANT, bulk_change_id, "operator"))
        except NotWithdrawableError:
            return False

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(started), pool.submit(withdrawn)
    assert first.result() is not second.result()
    ((status,),) = world.sql("SELECT status FROM m2m.bulk_change")
    assert status == ("QUEUED" if first.result() else "REJECTED")
