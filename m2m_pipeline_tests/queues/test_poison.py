"""A message that does not hold is answered with every reason; one that is no request at all becomes a dead letter."""

import json
from collections import Counter
from collections.abc import Mapping

import pytest

from m2m_pipeline.domain.request import BulkChangeRequest, parse_request
from m2m_pipeline.services.intake import Left, Taken
from m2m_pipeline_tests.queues.conftest import OpenQueue
from m2m_pipeline_tests.queues.server import AwsServer, Mailbox
from m2m_pipeline_tests.queues.taking import Remembering, drain, effects, kinds, request
from m2m_pipeline_tests.world import NEW, PROVIDER, TENANT, World

SECRET = "canary-5ecret"
UNREADABLE = (
    f"move my SIMs, please: {SECRET}",
    f'{{"provider": "{SECRET}"',
    f'["{SECRET}"]',
    f'"{SECRET}"',
    "null",
    "4711",
    "NaN",
    "[" * 100_000,
    f'{{"provider": "{SECRET} \\ud800"}}',
    f'{{"service_provider_id": {"9" * 5000}}}',
    "<provider>att</provider>",
    " ",
)
NO_REQUEST: tuple[dict[str, object], ...] = (
    {},
    {"devices": 5},
    {"devices": {"$ne": None}},
    {"provider": "nobody"},
    {"provider": "a\0b", "rate_plan": "a\0b", "a\0b": "a\0b"},
    {"service_provider_id": -(10**30)},
    {"rate_plan": "x" * 100_000},
    {"tenant": "rival"},
    {"idempotency_key": "", "priority": "high", "batch_size": 0},
    {"ChangeType": 4, "Devices": None},
    {"CarrierRatePlanUpdate": "x", "EffectiveDate": "yesterday"},
    {"devices": ["89882\0", "8.98821E+19", "'; DROP TABLE m2m.device; --"], "idempotency_key": "a\0b"},
)


def test_fifty_poison_messages_are_all_quarantined_or_rejected_and_hold_up_nobody(
    world: World, aws: AwsServer, open_queue: OpenQueue
) -> None:
    mailbox = Mailbox(aws, "poison", max_deliveries=5)
    unreadable = {mailbox.send(UNREADABLE[number % len(UNREADABLE)]) for number in range(25)}
    invalid = {mailbox.send(NO_REQUEST[number % len(NO_REQUEST)]) for number in range(25)}
    good = {mailbox.send(request(world, place)) for place in range(10)}
    queue = open_queue(mailbox, Remembering)

    outcomes = drain(world, queue)
    assert kinds(outcomes) == {"LEFT": 25, "REJECTED": 25, "ACCEPTED": 10}
    while mailbox.left():
        queue.release(mailbox)
        outcomes += drain(world, queue)

    assert mailbox.dead_ids() == unreadable
    left = Counter(one.message_id for one in outcomes if isinstance(one, Left))
    assert left == dict.fromkeys(unreadable, 5)
    taken = [one.received for one in outcomes if isinstance(one, Taken)]
    assert {one.message_id for one in taken if one.problems} == invalid
    assert {one.message_id for one in taken if one.bulk_change_id} == good
    assert effects(world) == (10, 10, 35)


def test_what_is_no_json_object_stays_on_the_queue_and_nothing_of_it_is_told(
    world: World, mailbox: Mailbox, open_queue: OpenQueue
) -> None:
    sent = {mailbox.send(body): body for body in UNREADABLE}
    outcomes = drain(world, open_queue(mailbox))

    assert len(outcomes) == mailbox.in_flight() == len(sent)
    for left in outcomes:
        assert isinstance(left, Left)
        assert left.deliveries == 1
        assert "JSON" in left.why, sent[left.message_id]
        assert SECRET not in left.why
    assert effects(world) == (0, 0, 0)


def test_what_is_no_request_that_holds_is_recorded_with_its_reasons(
    world: World, mailbox: Mailbox, open_queue: OpenQueue
) -> None:
    sent = {mailbox.send(content): content for content in NO_REQUEST}
    outcomes = drain(world, open_queue(mailbox))

    for taken in outcomes:
        assert isinstance(taken, Taken), sent[taken.message_id]
        assert taken.received.problems, sent[taken.received.message_id]
        (kept,) = world.services.inbox.look_up(TENANT, taken.received.message_id)
        assert kept == taken.received
    assert effects(world) == (0, 0, len(sent))
    assert mailbox.left() == 0


def test_a_rejection_names_every_fault_and_is_found_by_the_senders_key(
    world: World, mailbox: Mailbox, open_queue: OpenQueue
) -> None:
    faulty = {"rate_plan": "none such", "effective_date": "2020-01-01", "devices": ["898", *world.iccids[:2], "x"]}
    mailbox.send({"provider": PROVIDER, "idempotency_key": "order-1", **faulty})
    drain(world, open_queue(mailbox))

    (kept,) = world.services.inbox.look_up(TENANT, "order-1")
    told = [(problem.code.value, problem.row) for problem in kept.problems]
    assert told == [
        ("RATE_PLAN_UNKNOWN", None),
        ("EFFECTIVE_DATE_PAST", None),
        ("ICCID_MALFORMED", 1),
        ("ICCID_MALFORMED", 4),
    ]
    assert all(problem.next_step for problem in kept.problems)


def test_the_key_of_a_rejected_message_is_free_for_the_corrected_one(
    world: World, mailbox: Mailbox, open_queue: OpenQueue
) -> None:
    mailbox.send(request(world, 0, idempotency_key="order-1", rate_plan="none such"))
    drain(world, open_queue(mailbox))
    mailbox.send(request(world, 0, idempotency_key="order-1"))
    drain(world, open_queue(mailbox))

    corrected, first = world.services.inbox.look_up(TENANT, "order-1")
    assert (first.bulk_change_id, corrected.problems) == (None, ())
    assert corrected.bulk_change_id is not None


def test_a_key_that_was_used_for_another_request_is_a_rejection(
    world: World, mailbox: Mailbox, open_queue: OpenQueue
) -> None:
    world.submit(world.iccids[:1], idempotency_key="order-1")
    message_id = mailbox.send(request(world, 1, idempotency_key="order-1"))
    drain(world, open_queue(mailbox))

    (kept,) = world.services.inbox.look_up(TENANT, message_id)
    assert [problem.code.value for problem in kept.problems] == ["IDEMPOTENCY_CONFLICT"]
    assert world.count("bulk_change") == 1


def test_a_message_that_the_database_refuses_is_left_and_the_others_go_on(
    world: World, mailbox: Mailbox, open_queue: OpenQueue
) -> None:
    world.sql("ALTER TABLE m2m.device_change ADD CONSTRAINT never CHECK (row_number < 2)")
    refused = mailbox.send({"provider": PROVIDER, "rate_plan": NEW, "devices": list(world.iccids[:2])})
    mailbox.send(request(world, 5))

    outcomes = drain(world, open_queue(mailbox))

    assert kinds(outcomes) == {"LEFT": 1, "ACCEPTED": 1}
    (left,) = [one for one in outcomes if isinstance(one, Left)]
    assert left.message_id == refused
    assert "refused" in left.why
    assert mailbox.left() == 1


def test_the_existing_systems_names_are_understood(world: World, mailbox: Mailbox, open_queue: OpenQueue) -> None:
    plan = {"CarrierRatePlanUpdate": {"CarrierRatePlan": NEW, "EffectiveDate": None}}
    mailbox.send({"ServiceProvider": PROVIDER, "ChangeType": 7, "Devices": list(world.iccids[:3]), **plan})
    assert kinds(drain(world, open_queue(mailbox))) == {"ACCEPTED": 1}
    assert world.count("device_change") == 3


def test_a_message_as_large_as_sqs_takes_is_taken(world: World, mailbox: Mailbox, open_queue: OpenQueue) -> None:
    devices = [f"8988{number:016}" for number in range(40_000)]
    body = json.dumps({"provider": PROVIDER, "rate_plan": NEW, "devices": devices}, separators=(",", ":"))
    assert 900_000 < len(body) < 1024 * 1024
    message_id = mailbox.send(body)

    assert kinds(drain(world, open_queue(mailbox))) == {"REJECTED": 1}
    (kept,) = world.services.inbox.look_up(TENANT, message_id)
    assert len(kept.problems) == 40_000


def test_a_message_over_which_the_code_stumbles_is_left_and_its_neighbours_are_taken(
    world: World,
    mailbox: Mailbox,
    open_queue: OpenQueue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stumble(content: Mapping[str, object]) -> BulkChangeRequest:
        if content.get("priority") == 7:
            raise ZeroDivisionError(SECRET)
        return parse_request(content)

    monkeypatch.setattr("m2m_pipeline.services.intake.parse_request", stumble)
    stumbled = mailbox.send(request(world, 0, priority=7))
    for place in range(1, 10):
        mailbox.send(request(world, place))

    outcomes = drain(world, open_queue(mailbox))

    assert kinds(outcomes) == {"LEFT": 1, "ACCEPTED": 9}
    (left,) = [one for one in outcomes if isinstance(one, Left)]
    assert left.message_id == stumbled
    assert "ZeroDivisionError at test_poison.py:" in left.why
    assert SECRET not in left.why
