"""Security events at the front door, in the audit log: each that matters, and never a flood."""

import time
from threading import Lock

from m2m_pipeline.domain.audit import AuditKind
from m2m_pipeline.storage import accounts, audit
from m2m_pipeline.storage.database import Database

NOBODY = "(nobody)"
"""The tenant in whose audit log those stand who gave no sign of any tenant."""

ENTRIES_A_MINUTE = 30
"""Of each kind: who knocks without end fills no log. How many were left out stands in the next entry."""


class SecurityLog:
    """Writes what was denied. The bound is each process's own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = Lock()
        self._window: dict[AuditKind, tuple[float, int]] = {}
        self._left_out: dict[AuditKind, int] = {}

    def denied(self, kind: AuditKind, actor: str, message: str, tenant_id: int | None = None) -> None:
        """Record that `actor` was kept out of something. Without a tenant it is `NOBODY`'s.

        Raises:
            DatabaseUnavailableError: it is not recorded.

        """
        left_out = self._admit(kind)
        if left_out is None:
            return
        more = f" {left_out} more of these were not recorded one by one." if left_out else ""
        with self._database.begin() as tx:
            owner = accounts.ensure_tenant(tx, NOBODY).id if tenant_id is None else tenant_id
            audit.write(tx, kind, tenant_id=owner, actor=actor, outcome="DENIED", message=message + more)

    def _admit(self, kind: AuditKind) -> int | None:
        """How many were left out before this one; None where this one is left out too."""
        minute = time.monotonic() // 60
        with self._lock:
            began, written = self._window.get(kind, (minute, 0))
            if began == minute and written >= ENTRIES_A_MINUTE:
                self._left_out[kind] = self._left_out.get(kind, 0) + 1
                return None
            self._window[kind] = (minute, written + 1 if began == minute else 1)
            return self._left_out.pop(kind, 0)
