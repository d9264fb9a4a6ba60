"""A queue belongs to one company: no message reaches another."""

import pytest

from m2m_pipeline.services.inbox import MessageUnknownError
from m2m_pipeline.services.intake import UnknownInboxError
from m2m_pipeline_tests.queues.conftest import OpenQueue
from m2m_pipeline_tests.queues.server import Mailbox
from m2m_pipeline_tests.queues.taking import application, drain, effects, request
from m2m_pipeline_tests.world import PROVIDER, TENANT, World

RIVAL = "rival"


@pytest.fixture
def rival(world: World) -> str:
    """Another company, which has no devices."""
    world.services.accounts.configure(RIVAL, "rivals-own", world.provider_settings(), actor="test")
    return RIVAL


def test_a_message_on_a_rivals_queue_finds_neither_our_provider_nor_its_id(
    world: World, mailbox: Mailbox, open_queue: OpenQueue, rival: str
) -> None:
    by_name = mailbox.send(request(world, 0))
    by_id = mailbox.send(request(world, 0, provider=None, service_provider_id=world.provider.id))
    drain(world, open_queue(mailbox), tenant=rival)

    for message_id in (by_name, by_id):
        (kept,) = world.services.inbox.look_up(rival, message_id)
        assert [problem.code.value for problem in kept.problems] == ["PROVIDER_UNKNOWN"]
        with pytest.raises(MessageUnknownError):
            world.services.inbox.look_up(TENANT, message_id)
    assert world.services.inbox.latest(TENANT) == []
    assert world.count("bulk_change") == 0


@pytest.mark.parametrize("name", ["tenant", "tenant_id", "Tenant", "TenantId"])
def test_a_message_may_not_name_a_company(
    world: World, mailbox: Mailbox, open_queue: OpenQueue, rival: str, name: str
) -> None:
    message_id = mailbox.send(request(world, 0, **{name: TENANT}))
    drain(world, open_queue(mailbox), tenant=rival)

    (kept,) = world.services.inbox.look_up(rival, message_id)
    told = [(problem.code.value, problem.field) for problem in kept.problems]
    assert told == [("FIELD_INVALID", name), ("PROVIDER_UNKNOWN", "provider")]


def test_the_same_key_on_two_companies_queues_is_two_requests(
    world: World, mailbox: Mailbox, open_queue: OpenQueue, rival: str
) -> None:
    world.submit(world.iccids[:1], idempotency_key="order-1")
    message_id = mailbox.send(request(world, 1, idempotency_key="order-1"))
    drain(world, open_queue(mailbox), tenant=rival)

    (kept,) = world.services.inbox.look_up(rival, message_id)
    assert [problem.code.value for problem in kept.problems] == ["PROVIDER_UNKNOWN"]


def test_a_queue_of_a_company_that_does_not_exist_is_not_received_from(
    world: World, mailbox: Mailbox, open_queue: OpenQueue
) -> None:
    mailbox.send(request(world, 0))
    services = application(world, "nobody")

    with pytest.raises(UnknownInboxError, match="M2M_SQS_TENANT") as unknown:
        list(services.intake.drain(open_queue(mailbox)))

    services.close()
    assert "nobody" in str(unknown.value)
    assert PROVIDER not in str(unknown.value)
    assert (mailbox.left(), mailbox.in_flight()) == (1, 0)
    assert effects(world) == (0, 0, 0)
