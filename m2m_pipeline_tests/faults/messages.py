"""A flood of messages: each good one delivered five times, and as many poisonous ones between them."""

import random
from collections import Counter
from contextlib import suppress

import pytest

from m2m_pipeline.aws import sqs
from m2m_pipeline.domain.inbox import Message, QueueUnavailableError
from m2m_pipeline.services.intake import Left, Taken
from m2m_pipeline_tests.faults.verdict import Verdict
from m2m_pipeline_tests.queues.server import ISOLATED, KEYS, REGION, AwsServer, Mailbox
from m2m_pipeline_tests.queues.taking import Remembering, drain, effects, request
from m2m_pipeline_tests.queues.test_poison import NO_REQUEST, UNREADABLE
from m2m_pipeline_tests.world import World

MESSAGES = 500
_DELIVERIES = 5


class _Unsure(Remembering):
    """Its deletions are lost, but for the fifth of each message."""

    def delete(self, message: Message) -> None:
        if message.deliveries >= _DELIVERIES:
            super().delete(message)


def flood(world: World, aws: AwsServer, seed: int) -> Verdict:
    """Send in a random order, receive until nothing is left; each device has one change, each poison its place."""
    draw = random.Random(seed)  # noqa: S311 - reproducible, not secret
    mailbox = Mailbox(aws, f"flood-{seed}", max_deliveries=_DELIVERIES + 1)
    unreadable = [UNREADABLE[number % len(UNREADABLE)] for number in range(MESSAGES // 2)]
    invalid = [NO_REQUEST[number % len(NO_REQUEST)] for number in range(MESSAGES // 2)]
    good = [request(world, place) for place in range(MESSAGES)]
    bodies: list[object] = [*unreadable, *invalid, *good]
    draw.shuffle(bodies)
    sent = [(mailbox.send(body), body) for body in bodies]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**ISOLATED, **KEYS}.items():
            patch.setenv(name, value)
        patch.setattr(sqs, "LONG_POLL_SECONDS", 0)
        outcomes = _receive_all(world, aws, mailbox)
    return _judge(world, seed, mailbox, sent, outcomes)


def _receive_all(world: World, aws: AwsServer, mailbox: Mailbox) -> list[Taken | Left]:
    outcomes: list[Taken | Left] = []
    queue = _Unsure(mailbox.url, REGION, aws.url)
    try:
        while mailbox.left():
            queue.release(mailbox)
            with suppress(QueueUnavailableError):  # the next look goes on, as the sensor's does
                outcomes += drain(world, queue)
    finally:
        queue.close()
    return outcomes


def _judge(
    world: World, seed: int, mailbox: Mailbox, sent: list[tuple[str, object]], outcomes: list[Taken | Left]
) -> Verdict:
    unreadable = {message_id for message_id, body in sent if isinstance(body, str)}
    rejected = {message_id for message_id, body in sent if body in NO_REQUEST}
    told = {one.received.message_id for one in outcomes if isinstance(one, Taken) and one.received.problems}
    changes = Counter(str(iccid) for (iccid,) in world.sql("SELECT iccid FROM m2m.device_change"))
    rules = {
        f"dead letters are not the unreadable ones ({len(unreadable)})": mailbox.dead_ids() == unreadable,
        f"not every invalid one was rejected with reasons ({len(rejected)})": told == rejected,
        f"effects: {effects(world)}": effects(world) == (MESSAGES, MESSAGES, MESSAGES + len(rejected)),
    }
    return Verdict(
        name=f"flood, seed {seed}",
        devices=MESSAGES,
        kills=len(outcomes) - len(sent),  # deliveries beyond the first
        lost=[iccid for iccid in world.iccids if not changes[iccid]],
        twice=[iccid for iccid, number in changes.items() if number > 1],
        broken=[rule for rule, holds in rules.items() if not holds],
    )
