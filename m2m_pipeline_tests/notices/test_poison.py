"""A notice that cannot be sent, whatever is in it, is given up by itself: it stops no other one, and no later look."""

import pytest

from m2m_pipeline.domain.notices import Destination, DestinationKind, Event, EventType, Failed
from m2m_pipeline.services.notifying import event
from m2m_pipeline.services.outbox import Outbox
from m2m_pipeline.storage import outbox
from m2m_pipeline_tests.notices.conftest import Stand, application
from m2m_pipeline_tests.notices.mailbox import SmtpStand
from m2m_pipeline_tests.world import TENANT, World

POISON = "poison"


def tell(world: World, title: str, tenant: str = TENANT) -> None:
    """A notice of that title, to each destination of the tenant."""
    ((tenant_id,),) = world.sql("SELECT id FROM m2m.tenant WHERE name = %s", tenant)
    assert isinstance(tenant_id, int)
    with world.services.database.begin() as tx:
        outbox.write(tx, tenant_id, event(EventType.ALERT_RAISED, {"title": title, "text": title}))


def test_a_sender_that_raises_fails_its_own_notice_and_no_other(stand: Stand) -> None:
    sender = stand.services.outbox._senders[DestinationKind.WEBHOOK]

    class Fragile:
        async def send(self, destination: Destination, event: Event) -> Failed | None:
            if POISON in event.body:
                raise RuntimeError(POISON)
            return await sender.send(destination, event)

    services = stand.services
    fragile = Outbox(services.database, services.destinations, {DestinationKind.WEBHOOK: Fragile()}, 3600)
    for title in ("first", POISON, "last"):
        tell(stand.world, title)
    done = fragile.deliver()

    assert (done.delivered, done.postponed) == (2, 1)
    assert stand.statuses() == ["DELIVERED", "PENDING", "DELIVERED"]
    stand.pass_time(hours=2)
    assert fragile.deliver().dead == 1
    assert stand.world.sql("SELECT last_failure FROM m2m.notice WHERE status = 'DEAD'") == [
        ("A fault of ours (RuntimeError).",)  # not in the exception's words, which may repeat what is secret
    ]


@pytest.mark.parametrize("title", ["a\nb", "a\r\nBcc: somebody@example.com", "a\u2028b\x85c\x1cd"])
def test_a_title_of_several_lines_is_the_subject_on_one(world: World, title: str) -> None:
    with SmtpStand() as mailbox:
        services = application(world, **mailbox.settings)
        services.destinations.store(TENANT, DestinationKind.EMAIL, "oncall@example.com", None, "test")
        tell(world, title)
        assert services.outbox.deliver().delivered == 1
        services.close()
    (mail,) = (one.decode() for one in mailbox.mails)
    head, _, _ = mail.partition("\r\n\r\n")
    assert len([line for line in head.split("\r\n") if line.startswith("Subject: [m2m] a")]) == 1
    assert "\nBcc:" not in head


def test_a_mail_that_cannot_be_written_is_a_failure_with_its_kind(world: World) -> None:
    with SmtpStand() as mailbox:
        services = application(world, **mailbox.settings)
        services.destinations.store(TENANT, DestinationKind.EMAIL, "oncall@example.com", None, "test")
        tell(world, "half a letter: \ud83d")
        assert services.outbox.deliver().postponed == 1
        services.close()
    assert mailbox.mails == []
    assert "UnicodeEncodeError" in str(world.sql("SELECT last_failure FROM m2m.notice")[0][0])
