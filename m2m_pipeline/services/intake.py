"""The intake: messages of a queue become bulk changes, or rejections with every reason; each message once.

A message is deleted after the commit of its effect and never before. Whatever dies in between, the queue delivers it
again, and the record that the commit left says that nothing is to be done any more.
"""

import json
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from sqlalchemy import Connection

from m2m_pipeline.domain.inbox import Message, MessageQueue, Received
from m2m_pipeline.domain.problems import RequestRejectedError
from m2m_pipeline.domain.request import parse_request
from m2m_pipeline.services.submission import Submission
from m2m_pipeline.storage import accounts, inbox
from m2m_pipeline.storage.database import Database, DatabaseRefusedError, DatabaseUnavailableError

DRAIN_SECONDS = 25.0
"""How long one look at the queue goes on: Dagster allows a sensor 60, and the last request may take some of them."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that was recorded and deleted. `again`: an earlier delivery was recorded, this one changed nothing."""

    received: Received
    again: bool


@dataclass(frozen=True, slots=True)
class Left:
    """A message that cannot be recorded: it stays on the queue, whose redrive policy moves it to the dead letters."""

    message_id: str
    deliveries: int
    why: str


class UnknownInboxError(Exception):
    """Nobody can receive: the queue is said to belong to a tenant that does not exist."""


class _UnreadableError(Exception):
    """The body is no request at all; the message says why, and repeats nothing of it."""


class Intake:
    """Receives for one tenant: whatever a message says, it reaches no other."""

    def __init__(self, database: Database, submission: Submission, tenant_name: str) -> None:
        self._database = database
        self._submission = submission
        self._tenant_name = tenant_name

    def drain(self, queue: MessageQueue, seconds: float = DRAIN_SECONDS) -> Iterator[Taken | Left]:
        """Take messages until there is none left, or `seconds` are over.

        Raises:
            UnknownInboxError: the tenant does not exist; nothing was received.
            QueueUnavailableError: the queue does not answer; what was not deleted is delivered again.
            DatabaseUnavailableError: the same.
            DatabaseRefusedError: it takes no message at all; nothing was received.

        """
        ends = time.monotonic() + seconds
        with self._database.begin() as tx:
            # What would refuse every message refuses here: otherwise it would drive them all to the dead letters.
            inbox.require_writable(tx)
            self._tenant_id(tx)
        while time.monotonic() < ends and (messages := queue.receive()):
            for message in messages:
                if time.monotonic() >= ends:
                    return
                yield self._take(queue, message)

    def _take(self, queue: MessageQueue, message: Message) -> Taken | Left:
        try:
            content = _read(message.body)
            taken = self._database.decide(lambda tx: self._record(tx, message, content))
        except (_UnreadableError, DatabaseRefusedError) as error:
            return Left(message.id, message.deliveries, str(error))
        except (UnknownInboxError, DatabaseUnavailableError):
            raise
        except Exception as error:  # noqa: BLE001 -- a fault of ours over one message must not hold up the others
            return Left(message.id, message.deliveries, _unforeseen(error))
        queue.delete(message)
        return taken

    def _record(self, tx: Connection, message: Message, content: Mapping[str, object]) -> Taken:
        tenant_id = self._tenant_id(tx)
        known = inbox.find(tx, tenant_id, message.id)
        if known:
            return Taken(known, again=True)
        request = parse_request(content)
        key = request.idempotency_key
        # The message's id is its key where it brings none.
        keyed = request if key else request.model_copy(update={"idempotency_key": message.id})
        try:
            recorded = self._submission.record(tx, self._tenant_name, keyed, f"sqs:{message.sender}")
        except RequestRejectedError as rejected:
            return Taken(inbox.insert(tx, tenant_id, message, key, problems=rejected.problems), again=False)
        change_id = recorded.bulk_change_id
        return Taken(inbox.insert(tx, tenant_id, message, key, bulk_change_id=change_id), again=False)

    def _tenant_id(self, tx: Connection) -> int:
        tenant = accounts.find_tenant(tx, self._tenant_name)
        if tenant is None:
            raise UnknownInboxError(
                f'M2M_SQS_TENANT: there is no tenant "{self._tenant_name}", so nothing was received. Trying again does '
                "not help: correct the setting, or add the tenant with `m2m provider set NAME --tenant TENANT`."
            )
        return tenant.id


def _unforeseen(error: Exception) -> str:
    """What kind of fault it is, and where: its words may repeat the message's."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"an unforeseen {type(error).__name__} at {Path(where.filename).name}:{where.lineno}."


def _read(body: str) -> Mapping[str, object]:
    try:
        content: object = json.loads(body)
        json.dumps(content, ensure_ascii=False).encode()  # half a character is no text, and no database takes it
    except (ValueError, RecursionError) as error:
        raise _UnreadableError(f"it is no JSON text ({type(error).__name__}).") from None
    if not isinstance(content, dict):
        raise _UnreadableError("it is no JSON object.")
    return cast("Mapping[str, object]", content)
