"""`m2m inbox`: what became of a message, asked by its id or its key."""

import json

import pytest

from m2m_pipeline.domain.inbox import Message
from m2m_pipeline.services.intake import Intake
from m2m_pipeline_tests.cli.conftest import OURS, Shell
from m2m_pipeline_tests.world import NEW, PROVIDER, TENANT, World


class Pile:
    """A queue that is a list: what the command shows does not hang on where messages come from."""

    name = "pile"

    def __init__(self, *bodies: str) -> None:
        self._messages = [Message(f"id-{number}", body, "", "sender", 1) for number, body in enumerate(bodies, start=1)]

    def receive(self) -> list[Message]:
        messages, self._messages = self._messages, []
        return messages

    def delete(self, message: Message) -> None:
        """It is off the pile already."""

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def received(world: World) -> World:
    """An accepted and a rejected message."""
    good = {"provider": PROVIDER, "rate_plan": NEW, "devices": list(world.iccids[:1]), "idempotency_key": "order-1"}
    pile = Pile(json.dumps(good), json.dumps({**good, "rate_plan": "none such", "idempotency_key": "order-2"}))
    list(Intake(world.services.database, world.services.submission, TENANT).drain(pile))
    return world


@pytest.mark.usefixtures("received")
@pytest.mark.parametrize("reference", ["id-1", "order-1"])
def test_an_accepted_message_is_shown_with_its_bulk_change(m2m: Shell, reference: str) -> None:
    ended = m2m("inbox", reference, *OURS)
    assert ended.status == 0
    assert "id-1  ACCEPTED  bulk change 1" in ended.out


@pytest.mark.usefixtures("received")
@pytest.mark.parametrize("reference", ["id-2", "order-2"])
def test_a_rejected_message_is_shown_with_every_reason_and_what_to_do(m2m: Shell, reference: str) -> None:
    ended = m2m("inbox", reference, *OURS)
    assert ended.status == 1
    assert "id-2  REJECTED  2 reasons" in ended.out
    assert '"none such" is no rate plan of "att". Check the spelling' in ended.out


@pytest.mark.usefixtures("received")
def test_machines_read_json(m2m: Shell) -> None:
    (told,) = json.loads(m2m("inbox", "order-2", "--json", *OURS).out)
    assert (told["message_id"], told["status"], told["bulk_change_id"]) == ("id-2", "REJECTED", None)
    assert [problem["code"] for problem in told["problems"]] == ["RATE_PLAN_UNKNOWN", "OPEN_CHANGE"]


@pytest.mark.usefixtures("received")
def test_without_a_reference_the_last_messages_are_listed(m2m: Shell) -> None:
    ended = m2m("inbox", *OURS)
    assert ended.status == 0
    assert [line.split()[2] for line in ended.out.splitlines()] == ["id-2", "id-1"]


@pytest.mark.usefixtures("received")
@pytest.mark.parametrize("tenant", ["rival", "nobody"])
def test_another_companys_message_is_unknown(received: World, m2m: Shell, tenant: str) -> None:
    received.services.accounts.configure("rival", PROVIDER, received.provider_settings(), actor="test")
    ended = m2m("inbox", "id-1", "--tenant", tenant)
    assert (ended.status, ended.out) == (2, "")
    assert "dead-letter queue" in ended.err
