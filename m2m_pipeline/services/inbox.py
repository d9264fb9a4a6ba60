"""The inbox, as a sender or an operator asks it: what became of a message."""

from collections.abc import Sequence

from m2m_pipeline.domain.inbox import Received
from m2m_pipeline.domain.problems import shown
from m2m_pipeline.storage import accounts, inbox
from m2m_pipeline.storage.database import Database

SHOWN = 20
"""Messages that one answer lists."""


class MessageUnknownError(Exception):
    """The tenant has no record of such a message."""

    def __init__(self, reference: str) -> None:
        super().__init__(
            f'No message with id or idempotency key "{shown(reference)}" is recorded for this tenant. If it was just '
            "sent, look again in some seconds; one that is no JSON object is never recorded: see the dead-letter queue."
        )


class Inbox:
    """What is asked about messages."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def latest(self, tenant_name: str) -> Sequence[Received]:
        """The tenant's last messages, the latest first."""
        return self._list(tenant_name, None)

    def look_up(self, tenant_name: str, reference: str) -> Sequence[Received]:
        """The tenant's messages with that id, or with that idempotency key, the latest first.

        Raises:
            MessageUnknownError: there is none.

        """
        found = self._list(tenant_name, reference)
        if not found:
            raise MessageUnknownError(reference)
        return found

    def _list(self, tenant_name: str, reference: str | None) -> Sequence[Received]:
        with self._database.begin() as tx:
            tenant = accounts.find_tenant(tx, tenant_name)
            return inbox.list_latest(tx, tenant.id, reference, SHOWN) if tenant else []
