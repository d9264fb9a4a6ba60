"""The sensor that takes requests from an inbound queue; only a deployment that names a queue has it.

It writes, and may: each message is one guarded transaction that a repeated, lost or concurrent tick (or a preview in
the UI) cannot do twice. It starts no run: what it queues, the dispatch sensor finds.
"""

import logging
from collections import Counter

import dagster as dg
from pydantic import PrivateAttr

from m2m_pipeline.domain.inbox import MessageQueue
from m2m_pipeline.logs import redacted
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline.services.intake import Left, Taken
from m2m_pipeline.settings import load_settings

INTERVAL_SECONDS = 5
"""Dagster's floor. While messages keep coming, one tick takes many batches."""


class InboundQueue(dg.ConfigurableResource["InboundQueue"]):
    """The queue, as a Dagster resource. Holds no configuration: settings and credentials come from the environment."""

    _queue: MessageQueue | None = PrivateAttr(default=None)

    def open(self) -> MessageQueue:
        """The queue of this tick.

        Raises:
            QueueUnavailableError: no AWS region is known.

        """
        if self._queue is None:
            from m2m_pipeline.aws.sqs import SqsQueue  # noqa: PLC0415 - only who has a queue pays for boto3

            settings = load_settings()
            self._queue = SqsQueue(
                settings.sqs_queue_url, settings.sqs_region or None, settings.sqs_endpoint_url or None
            )
        return self._queue

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Give the connections back."""
        del context
        if self._queue is not None:
            self._queue.close()
            self._queue = None


def intake_sensor() -> dg.SensorDefinition:
    """The intake from SQS."""

    @dg.sensor(minimum_interval_seconds=INTERVAL_SECONDS, default_status=dg.DefaultSensorStatus.RUNNING)
    def sqs_intake(context: dg.SensorEvaluationContext, platform: Platform, inbound: InboundQueue) -> dg.SkipReason:
        """Turn messages into bulk changes. No answer from queue or database fails the tick, and loses nothing."""
        queue = inbound.open()
        kinds: Counter[str] = Counter()
        for one in platform.services.intake.drain(queue):
            kind, told = _told(one)
            kinds[kind] += 1
            context.log.log(logging.WARNING if isinstance(one, Left) else logging.INFO, redacted(told))
        counted = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        return dg.SkipReason(f"Queue {queue.name}: {counted}." if kinds else f"Queue {queue.name} is empty.")

    return sqs_intake


def _told(one: Taken | Left) -> tuple[str, str]:
    """Its kind, and a line about it: never a word of the message's body."""
    if isinstance(one, Left):
        return "left", f"Message {one.message_id}, delivery {one.deliveries}, is left to the queue's redrive: {one.why}"
    message_id, change = one.received.message_id, one.received.bulk_change_id
    if one.again:
        return "known already", f"Message {message_id} came again: nothing was done, it was {one.received.status}."
    if change is not None:
        return "accepted", f"Message {message_id} is bulk change {change}."
    reasons = f"{len(one.received.problems)} reasons: see `m2m inbox {message_id}`"
    return "rejected", f"Message {message_id} was rejected with {reasons}."
