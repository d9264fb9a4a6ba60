"""However often a message is delivered, and by however many it is received, it has one effect."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from threading import Barrier

import pytest

from m2m_pipeline.aws.sqs import SqsQueue
from m2m_pipeline.domain.inbox import Message
from m2m_pipeline.domain.status import BulkChangeStatus
from m2m_pipeline.services.intake import Taken
from m2m_pipeline_tests.queues.conftest import OpenQueue
from m2m_pipeline_tests.queues.server import AwsServer, Mailbox
from m2m_pipeline_tests.queues.taking import Forgetful, Remembering, drain, effects, kinds, request
from m2m_pipeline_tests.world import TENANT, World

MESSAGES = 50


def test_a_message_becomes_a_bulk_change_in_the_queue_and_is_deleted(
    world: World, mailbox: Mailbox, open_queue: OpenQueue
) -> None:
    message_id = mailbox.send(request(world, 0))
    (taken,) = drain(world, open_queue(mailbox))

    assert isinstance(taken, Taken)
    assert (taken.received.message_id, taken.again) == (message_id, False)
    assert taken.received.bulk_change_id is not None
    document = world.services.reporting.document(TENANT, taken.received.bulk_change_id)
    assert (document.status, document.total) == (BulkChangeStatus.QUEUED, 1)
    assert document.requested_by.startswith("sqs:")
    assert world.sql("SELECT idempotency_key FROM m2m.bulk_change") == [(message_id,)]
    assert mailbox.left() == 0


def test_fifty_messages_delivered_five_times_each_have_fifty_effects(
    world: World, aws: AwsServer, open_queue: OpenQueue
) -> None:
    mailbox = Mailbox(aws, "five-deliveries", max_deliveries=10)
    ids = {mailbox.send(request(world, place)) for place in range(MESSAGES)}
    queue = open_queue(mailbox, Forgetful)
    queue.mailbox = mailbox

    outcomes = drain(world, queue)

    assert kinds(outcomes) == {"ACCEPTED": MESSAGES, "AGAIN": MESSAGES * 4}
    assert effects(world) == (MESSAGES,) * 3
    assert {one for (one,) in world.sql("SELECT message_id FROM m2m.inbox_message")} == ids
    assert mailbox.left() == mailbox.dead() == 0


def test_requests_sent_five_times_each_with_their_key_are_one_bulk_change_each(
    world: World, mailbox: Mailbox, open_queue: OpenQueue
) -> None:
    for _ in range(5):
        for place in range(10):
            mailbox.send(request(world, place, idempotency_key=f"order-{place}"))

    outcomes = drain(world, open_queue(mailbox))

    assert kinds(outcomes) == {"ACCEPTED": 50}
    assert effects(world) == (10, 10, 50)
    shared = "SELECT count(DISTINCT bulk_change_id), count(*) FROM m2m.inbox_message GROUP BY idempotency_key"
    assert set(world.sql(shared)) == {(1, 5)}


def test_two_intakes_share_the_messages(world: World, mailbox: Mailbox, open_queue: OpenQueue) -> None:
    for place in range(MESSAGES):
        mailbox.send(request(world, place))
    queues = [open_queue(mailbox), open_queue(mailbox)]

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(partial(drain, world), queues)

    assert kinds([*one, *other]) == {"ACCEPTED": MESSAGES}
    assert effects(world) == (MESSAGES,) * 3
    assert mailbox.left() == 0


@pytest.mark.parametrize("fields", [{}, {"rate_plan": "none such"}], ids=["holding", "rejected"])
def test_two_intakes_that_are_given_the_same_messages_at_once_make_one_effect_of_each(
    world: World, aws: AwsServer, open_queue: OpenQueue, fields: dict[str, object]
) -> None:
    # Whoever has received is no hindrance to the other.
    mailbox = Mailbox(aws, f"at-once-{len(fields)}", visibility=0, max_deliveries=1000)
    messages = 10
    for place in range(messages):
        mailbox.send(request(world, place, **fields))
    both_received = Barrier(2, timeout=30)

    class Meeting(SqsQueue):
        met = False

        def receive(self) -> list[Message]:
            found = list(super().receive())
            if not self.met:
                self.met = True
                both_received.wait()
            return found

    with ThreadPoolExecutor(2) as pool:
        queues = [open_queue(mailbox, Meeting), open_queue(mailbox, Meeting)]
        one, other = pool.map(partial(drain, world), queues)

    done = kinds([*one, *other])
    made = "REJECTED" if fields else "ACCEPTED"
    assert done[made] == messages
    assert done["AGAIN"] >= messages
    assert effects(world) == (0 if fields else messages, 0 if fields else messages, messages)
    assert mailbox.left() == 0


def test_a_stale_receipt_deletes_nothing_and_the_message_is_known_when_it_comes_again(
    world: World, mailbox: Mailbox, open_queue: OpenQueue
) -> None:
    class Stale(Remembering):
        def delete(self, message: Message) -> None:
            SqsQueue.delete(self, replace(message, receipt="of-long-ago"))

    mailbox.send(request(world, 0))
    queue = open_queue(mailbox, Stale)
    assert kinds(drain(world, queue)) == {"ACCEPTED": 1}
    assert mailbox.left() == 1

    queue.release(mailbox)
    assert kinds(drain(world, open_queue(mailbox))) == {"AGAIN": 1}
    assert mailbox.left() == 0
    assert effects(world) == (1, 1, 1)
