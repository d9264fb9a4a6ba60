"""Security events at the front door, in the audit log: each that matters, and never a flood."""

import time
from threading import Lock

from m2m_pipeline.domain.audit import AuditKind
from m2m_pipeline.storage import accounts, audit
from m2m_pipeline.storage.database import Database

NOBODY = "(nobody)"
"""The tenant in whose audit log those stand who gave no sign of any tenant."""

_Stream = tuple[AuditKind, int | None]
"""What is bounded by itself: one kind of event of one tenant; None: of nobody."""
ENTRIES_A_MINUTE = 30
"""Of each kind, for each tenant: who knocks without end fills no log, and hides no other tenant's events.

How many were left out stands in the next entry.
"""
_LONGEST = 500
"""Characters of a message, which may repeat what somebody has sent."""


class SecurityLog:
    """Writes what was denied. The bound is each process's own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = Lock()
        self._window: dict[_Stream, tuple[float, int]] = {}
        self._left_out: dict[_Stream, int] = {}

    def denied(self, kind: AuditKind, actor: str, message: str, tenant_id: int | None = None) -> None:
        """Record that `actor` was kept out of something. Without a tenant it is `NOBODY`'s.

        Raises:
            DatabaseUnavailableError: it is not recorded.

        """
        left_out = self._admit((kind, tenant_id))
        if left_out is None:
            return
        more = f" {left_out} more of these were not recorded one by one." if left_out else ""
        told = "".join(letter if letter.isprintable() else "\ufffd" for letter in message[:_LONGEST]) + more
        with self._database.begin() as tx:
            owner = accounts.ensure_tenant(tx, NOBODY).id if tenant_id is None else tenant_id
            audit.write(tx, kind, tenant_id=owner, actor=actor, outcome="DENIED", message=told)

    def _admit(self, stream: _Stream) -> int | None:
        """How many were left out before this one; None where this one is left out too."""
        minute = time.monotonic() // 60
        with self._lock:
            began, written = self._window.get(stream, (minute, 0))
            if began == minute and written >= ENTRIES_A_MINUTE:
                self._left_out[stream] = self._left_out.get(stream, 0) + 1
                return None
            self._window[stream] = (minute, written + 1 if began == minute else 1)
            return self._left_out.pop(stream, 0)
