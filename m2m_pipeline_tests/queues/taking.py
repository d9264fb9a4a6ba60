"""What a test has the intake do, and what it looks at afterwards."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property

from m2m_pipeline.aws.sqs import SqsQueue
from m2m_pipeline.bootstrap import Application, build
from m2m_pipeline.domain.inbox import Message, MessageQueue
from m2m_pipeline.services.intake import Left, Taken
from m2m_pipeline.settings import Settings
from m2m_pipeline_tests.queues.server import Mailbox
from m2m_pipeline_tests.world import NEW, PROVIDER, TENANT, QuickCarriers, World


def application(world: World, tenant: str = TENANT, database_url: str | None = None) -> Application:
    """The application of a process that takes messages for a tenant."""
    given = {"database_url": database_url or world.database_url, "encryption_keys": world.key, "sqs_tenant": tenant}
    return world.owned(build(Settings.model_validate(given), QuickCarriers()))


def drain(world: World, queue: MessageQueue, *, tenant: str = TENANT, seconds: float = 25.0) -> list[Taken | Left]:
    """One look at the queue by a process of its own; what came of each delivery."""
    services = application(world, tenant)
    try:
        return list(services.intake.drain(queue, seconds))
    finally:
        services.close()


def request(world: World, place: int, **fields: object) -> dict[str, object]:
    """A request that moves one device."""
    return {"provider": PROVIDER, "rate_plan": NEW, "devices": [world.iccids[place]], **fields}


def kinds(outcomes: Iterable[Taken | Left]) -> Counter[str]:
    """How many deliveries came to what."""
    return Counter(
        "LEFT" if isinstance(one, Left) else "AGAIN" if one.again else one.received.status.value for one in outcomes
    )


def effects(world: World) -> tuple[object, object, object]:
    """Bulk changes, device changes, records of messages."""
    return world.count("bulk_change"), world.count("device_change"), world.count("inbox_message")


class Remembering(SqsQueue):
    """Knows what it received and did not delete, so that a test can end the visibility timeout of that."""

    def receive(self) -> Sequence[Message]:
        """The next messages, remembered."""
        found = super().receive()
        self.undeleted.update({one.id: one.receipt for one in found})
        return found

    def delete(self, message: Message) -> None:
        """Delete and forget the message."""
        super().delete(message)
        self.undeleted.pop(message.id)

    @cached_property
    def undeleted(self) -> dict[str, str]:
        """The last receipt of each message."""
        return {}

    def release(self, mailbox: Mailbox) -> None:
        """Have everything delivered again that was not deleted."""
        for receipt in self.undeleted.values():
            mailbox.release(receipt)
        self.undeleted.clear()


class Forgetful(SqsQueue):
    """Deletes a message only at its fifth delivery: before, each deletion is lost and the message comes again."""

    mailbox: Mailbox
    deliveries = 5

    def delete(self, message: Message) -> None:
        """Delete it, or let its visibility timeout end."""
        if message.deliveries < self.deliveries:
            self.mailbox.release(message.receipt)
        else:
            super().delete(message)
