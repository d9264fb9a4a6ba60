"""Whatever dies or is away, no message is lost and none has two effects; nobody has to repair anything."""

import signal
import subprocess
import sys

import pytest

from m2m_pipeline.aws.sqs import SqsQueue
from m2m_pipeline.domain.inbox import Message, QueueUnavailableError
from m2m_pipeline.storage.database import DatabaseRefusedError, DatabaseUnavailableError
from m2m_pipeline.storage.migrate import upgrade
from m2m_pipeline_tests.environment import inherited
from m2m_pipeline_tests.queues.conftest import OpenQueue
from m2m_pipeline_tests.queues.dying import MOMENTS
from m2m_pipeline_tests.queues.server import AwsServer, Mailbox
from m2m_pipeline_tests.queues.taking import Remembering, application, drain, effects, kinds, request
from m2m_pipeline_tests.world import TENANT, World

HOLDING: dict[str, object] = {}
REJECTED: dict[str, object] = {"rate_plan": "none such"}


@pytest.mark.parametrize(
    ("moment", "fields"),
    [*((moment, HOLDING) for moment in MOMENTS), ("before the deletion", REJECTED)],
    ids=[*MOMENTS, "before the deletion of a rejected one"],
)
def test_an_intake_that_is_killed_is_made_good_by_the_next_delivery(
    world: World, aws: AwsServer, open_queue: OpenQueue, moment: str, fields: dict[str, object]
) -> None:
    mailbox = Mailbox(aws, f"killed-{MOMENTS.index(moment)}-{len(fields)}", visibility=2)
    mailbox.send(request(world, 0, **fields))
    ours = {"M2M_DATABASE_URL": world.database_url, "M2M_SQS_TENANT": TENANT, **mailbox.settings}
    killed = subprocess.run(
        [sys.executable, "-m", "m2m_pipeline_tests.queues.dying", moment], env={**inherited(), **ours}, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    change = 0 if fields else 1
    committed = (0, 0, 0) if moment == "before the commit" else (change, change, 1)
    assert effects(world) == committed
    assert mailbox.left() == (0 if moment == "after the deletion" else 1)

    while mailbox.left():
        drain(world, open_queue(mailbox))

    assert effects(world) == (change, change, 1)
    assert mailbox.dead() == 0


def test_a_transaction_that_is_cut_off_leaves_the_message_for_later(
    world: World, mailbox: Mailbox, open_queue: OpenQueue
) -> None:
    world.sql(
        """
        CREATE FUNCTION public.cut() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_terminate_backend(pg_backend_pid());
            RETURN NULL;
        END $$
        """
    )
    world.sql("CREATE TRIGGER cut AFTER INSERT ON m2m.inbox_message EXECUTE FUNCTION public.cut()")
    mailbox.send(request(world, 0))
    queue = open_queue(mailbox, Remembering)
    with pytest.raises(DatabaseUnavailableError):
        drain(world, queue)
    assert effects(world) == (0, 0, 0)
    assert mailbox.left() == 1

    world.sql("DROP TRIGGER cut ON m2m.inbox_message")
    queue.release(mailbox)
    assert kinds(drain(world, queue)) == {"ACCEPTED": 1}
    assert effects(world) == (1, 1, 1)


def test_a_database_that_is_away_has_nothing_received(world: World, mailbox: Mailbox, open_queue: OpenQueue) -> None:
    mailbox.send(request(world, 0))
    services = application(world, database_url="postgresql+psycopg://m2m:none@127.0.0.1:1/m2m")
    with pytest.raises(DatabaseUnavailableError):
        list(services.intake.drain(open_queue(mailbox)))
    assert (mailbox.left(), mailbox.in_flight()) == (1, 0)


def test_tables_of_yesterday_have_nothing_received(
    world: World, mailbox: Mailbox, open_queue: OpenQueue, empty_database_url: str
) -> None:
    upgrade(empty_database_url, "0001")
    mailbox.send(request(world, 0))
    services = application(world, database_url=empty_database_url)

    with pytest.raises(DatabaseRefusedError, match="m2m migrate"):
        list(services.intake.drain(open_queue(mailbox)))

    services.close()
    assert (mailbox.left(), mailbox.in_flight()) == (1, 0)


def test_a_database_that_only_reads_has_nothing_received(world: World, mailbox: Mailbox, open_queue: OpenQueue) -> None:
    ((name,),) = world.sql("SELECT current_database()")
    world.sql(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    mailbox.send(request(world, 0))
    with pytest.raises(DatabaseUnavailableError):
        drain(world, open_queue(mailbox))
    assert (mailbox.left(), mailbox.in_flight()) == (1, 0)


def test_sqs_that_is_gone_between_commit_and_deletion_fails_the_look_and_undoes_nothing(
    world: World, mailbox: Mailbox, open_queue: OpenQueue
) -> None:
    class Going(SqsQueue):
        def delete(self, message: Message) -> None:
            self._url += "-gone"
            super().delete(message)

    mailbox.send(request(world, 0))
    with pytest.raises(QueueUnavailableError, match="no such queue"):
        drain(world, open_queue(mailbox, Going))
    assert effects(world) == (1, 1, 1)
    assert mailbox.left() == 1


def test_a_look_at_the_queue_ends_in_time_and_the_next_goes_on(
    world: World, mailbox: Mailbox, open_queue: OpenQueue
) -> None:
    for place in range(12):
        mailbox.send(request(world, place))
    assert drain(world, open_queue(mailbox), seconds=0) == []
    assert mailbox.in_flight() == 0
    assert kinds(drain(world, open_queue(mailbox))) == {"ACCEPTED": 12}
