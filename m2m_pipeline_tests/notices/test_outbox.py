"""Every end is told, at least once; what cannot be told is given up with its reason, and can be driven again."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from m2m_pipeline.domain.notices import Destination, DestinationKind, Event, Failed, NoticeStatus
from m2m_pipeline.services.outbox import Outbox
from m2m_pipeline_tests.notices.conftest import SECRET, Stand, application
from m2m_pipeline_tests.notices.receiver import verified
from m2m_pipeline_tests.world import TENANT, World


def test_every_end_is_told_to_the_tenants_webhook(stand: Stand) -> None:
    """PROCESSED, and FAILED before any device was touched: both are ends."""
    changed = stand.end_a_change()
    stand.world.sql("UPDATE m2m.service_provider SET writes_enabled = false")
    denied = stand.world.submit(stand.world.iccids[1:2]).bulk_change_id
    with pytest.raises(Exception, match="Writes are disabled"):
        stand.world.run(denied)

    assert stand.services.outbox.deliver().delivered == 2
    told = {one.event["data"]["id"]: one.event for one in stand.receiver.deliveries}
    assert {number: one["data"]["status"] for number, one in told.items()} == {changed: "PROCESSED", denied: "FAILED"}
    for number, one in told.items():
        assert one["data"] == stand.services.reporting.document(TENANT, number).model_dump(mode="json")
        assert (one["type"], one["sequence"]) == ("bulk_change.ended", 1)


def test_a_delivery_is_signed_over_timestamp_and_body(stand: Stand) -> None:
    stand.end_a_change()
    stand.services.outbox.deliver()

    (delivery,) = stand.receiver.deliveries
    assert verified(delivery, SECRET)
    assert not verified(delivery, "another-secret-of-somebody")
    age = time.time() - int(delivery.headers["M2M-Signature"].split(",")[0].removeprefix("t="))
    assert 0 <= age < 60
    assert delivery.headers["M2M-Event-Id"] == delivery.event["id"]


def test_while_a_secret_is_rotated_both_sign_and_then_only_the_new_one(stand: Stand) -> None:
    new = "the-new-secret-of-the-tenant"
    stand.services.destinations.store(TENANT, DestinationKind.WEBHOOK, stand.receiver.url, new, "test")
    assert stand.services.outbox.try_out(TENANT, stand.destination_id) is None
    stand.services.destinations.retire_previous_secret(TENANT, stand.destination_id, "test")
    assert stand.services.outbox.try_out(TENANT, stand.destination_id) is None

    first, second = stand.receiver.deliveries
    assert [verified(first, SECRET), verified(first, new)] == [True, True]
    assert [verified(second, SECRET), verified(second, new)] == [False, True]


def test_secrets_are_stored_sealed_for_their_row(stand: Stand) -> None:
    other = stand.services.destinations.store(
        TENANT, DestinationKind.WEBHOOK, f"{stand.receiver.url}/2", "some-secret-of-the-other", "test"
    )
    ((sealed,),) = stand.world.sql("SELECT secret FROM m2m.notice_destination WHERE id = %s", stand.destination_id)
    assert isinstance(sealed, bytes)
    assert SECRET.encode() not in sealed
    stand.world.sql("UPDATE m2m.notice_destination SET secret = %s WHERE id = %s", sealed, other.destination.id)
    stand.end_a_change()

    done = stand.services.outbox.deliver()
    assert (done.delivered, done.postponed) == (1, 1)
    assert "cannot be decrypted" in str(stand.world.sql("SELECT max(last_failure) FROM m2m.notice")[0][0])


def test_what_fails_is_tried_again_with_the_same_id_and_the_same_bytes(stand: Stand) -> None:
    stand.end_a_change()
    stand.receiver.status = 500
    assert stand.services.outbox.deliver().postponed == 1
    assert stand.failure() == "The receiver answered 500; only 2xx confirms a delivery."
    assert stand.services.outbox.deliver().postponed == 0, "it waits before it tries again"

    stand.receiver.status = 202
    stand.pass_time()
    assert stand.services.outbox.deliver().delivered == 1
    first, second = stand.receiver.deliveries
    assert (first.headers["M2M-Event-Id"], first.body) == (second.headers["M2M-Event-Id"], second.body)
    assert stand.statuses() == ["DELIVERED"]


_INSERT = (
    "INSERT INTO m2m.notice (tenant_id, destination_id, event_id, event_type, body) "
    "SELECT tenant_id, id, gen_random_uuid(), 'test', '{}' FROM m2m.notice_destination WHERE id = %s"
)


class _Dies(BaseException):
    """The process is gone."""


def test_a_crash_between_delivery_and_commit_delivers_again_with_the_same_event_id(stand: Stand) -> None:
    sender = stand.services.outbox._senders[DestinationKind.WEBHOOK]

    class DiesAfterwards:
        async def send(self, destination: Destination, event: Event) -> Failed | None:
            await sender.send(destination, event)
            raise _Dies

    stand.end_a_change()
    dying = Outbox(
        stand.services.database, stand.services.destinations, {DestinationKind.WEBHOOK: DiesAfterwards()}, 3600
    )
    with pytest.raises(BaseExceptionGroup):
        dying.deliver()
    assert stand.statuses() == ["PENDING"]
    assert stand.services.outbox.deliver().delivered == 0, "the claim of the dead one holds for a while"

    stand.pass_time()
    assert stand.services.outbox.deliver().delivered == 1
    first, second = stand.receiver.deliveries
    assert first.headers["M2M-Event-Id"] == second.headers["M2M-Event-Id"]


def test_after_its_patience_a_notice_is_dead_with_its_reason_and_can_be_driven_again(stand: Stand) -> None:
    stand.end_a_change()
    stand.receiver.status = 503
    stand.pass_time(hours=25)
    assert stand.services.outbox.deliver().dead == 1
    (dead,) = stand.services.outbox.latest(TENANT, NoticeStatus.DEAD)
    assert "answered 503" in (dead.last_failure or "")

    stand.receiver.status = 200
    stand.services.outbox.retry(TENANT, dead.id)
    assert stand.services.outbox.deliver().delivered == 1


def test_a_receiver_that_is_gone_is_not_asked_again(stand: Stand) -> None:
    stand.end_a_change()
    stand.receiver.status = 410
    assert stand.services.outbox.deliver().dead == 1
    assert "410" in stand.failure()


def test_a_second_end_is_an_event_of_its_own_and_what_is_no_news_is_not_told(stand: Stand) -> None:
    """AMOP did not follow, so the change is PARTIAL; reconciliation first finds nothing new, then mends it."""
    bulk_change_id = stand.end_a_change()
    stand.world.sql("UPDATE m2m.bulk_change SET status = 'PARTIAL', result = NULL")
    stand.world.sql("UPDATE m2m.device_change SET status = 'AMOP_FAILED', reason = 'AMOP_UPDATE_FAILED'")
    stand.world.sql("ALTER TABLE m2m.device ADD CONSTRAINT jammed CHECK (rate_plan <> 'Plan New') NOT VALID")
    stand.world.settle(passes=1)
    told = told_ends(stand)
    stand.world.settle(passes=1)
    assert told_ends(stand) == told, "nothing is new"
    stand.world.sql("ALTER TABLE m2m.device DROP CONSTRAINT jammed")
    stand.world.settle(passes=1)

    ends = told_ends(stand)
    assert [status for _, status, _ in ends] == ["PROCESSED", "PROCESSED"]
    assert [int(str(sequence)) for _, _, sequence in ends] == sorted({int(str(sequence)) for _, _, sequence in ends})
    assert len({event_id for event_id, _, _ in ends}) == 2
    assert stand.world.sql("SELECT DISTINCT bulk_change_id FROM m2m.notice") == [(bulk_change_id,)]


def told_ends(stand: Stand) -> list[tuple[object, ...]]:
    """Id, status and sequence of the ends that were told."""
    return stand.world.sql(
        "SELECT event_id, body::jsonb #>> '{data,status}', body::jsonb ->> 'sequence' FROM m2m.notice ORDER BY id"
    )


def test_a_destination_that_hangs_takes_no_other_tenants_place(stand: Stand) -> None:
    """Five notices for a receiver that hangs, one for another: that one is claimed with the first four."""
    other = stand.services.destinations.store(
        "rival", DestinationKind.WEBHOOK, f"{stand.receiver.url}/rival", None, "test"
    )
    for _ in range(5):
        stand.world.sql(
            _INSERT,
            stand.destination_id,
        )
    stand.world.sql(
        _INSERT,
        other.destination.id,
    )
    stand.receiver.slowly = threading.Barrier(5, timeout=5).wait  # nobody is answered before five are there

    assert stand.services.outbox.deliver(seconds=0.1).delivered == 5
    assert sum(one.path.endswith("/rival") for one in stand.receiver.deliveries) == 1


def test_another_tenant_sees_and_drives_none_of_it(stand: Stand) -> None:
    stand.end_a_change()
    stand.receiver.status = 410
    stand.services.outbox.deliver()
    (dead,) = stand.services.outbox.latest(TENANT)

    assert stand.services.outbox.latest("rival") == []
    assert stand.services.outbox.latest(None) == []
    for somebody_else in ("rival", None):
        with pytest.raises(Exception, match="no notice"):
            stand.services.outbox.retry(somebody_else, dead.id)
        with pytest.raises(Exception, match="no destination"):
            stand.services.destinations.remove(somebody_else, stand.destination_id, "test")


def test_what_waits_for_a_removed_destination_is_given_up(stand: Stand) -> None:
    stand.end_a_change()
    stand.services.destinations.remove(TENANT, stand.destination_id, "test")
    assert stand.statuses() == ["DEAD"]
    assert stand.services.outbox.deliver().delivered == 0


def test_two_deliverers_at_once_deliver_once(stand: Stand, world: World) -> None:
    for _ in range(3):
        stand.world.sql("UPDATE m2m.device SET rate_plan = 'Plan Old'")
        stand.end_a_change()
    other = application(world, webhook_hosts=stand.receiver.host)
    with ThreadPoolExecutor() as pool:
        for both in [pool.submit(services.outbox.deliver) for services in (stand.services, other)]:
            both.result()
    other.close()
    assert len(stand.receiver.deliveries) == len({one.headers["M2M-Event-Id"] for one in stand.receiver.deliveries})
    assert set(stand.statuses()) == {"DELIVERED"}
