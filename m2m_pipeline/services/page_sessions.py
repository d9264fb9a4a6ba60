"""Who is signed in at the page. The browser has a random token; the database its digest, so that neither leaks."""

import hashlib
import secrets
from datetime import timedelta

from m2m_pipeline.domain.audit import AuditKind
from m2m_pipeline.domain.permissions import Principal, Role
from m2m_pipeline.storage import accounts, audit, page
from m2m_pipeline.storage.database import Database
from m2m_pipeline.storage.page import PageSession

LASTS = timedelta(hours=12)
"""A working day: then the role is asked for again."""
IDLE = timedelta(hours=2)
"""Without a request for so long, nobody sits there any more. An open progress view asks all the time."""
_TOKEN_BYTES = 32


class PageSessions:
    """Server-side, so that signing out ends a session wherever its cookie has got to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, who: Principal, name: str) -> str:
        """Sign somebody in, who is called `name` on the page; the token for their browser."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        with self._database.begin() as tx:
            page.delete_stale_sessions(tx, IDLE)
            page.insert_session(tx, who, name=name, digest=_digest(token), lasts=LASTS)
            told = {"name": name, "role": who.role.value}
            audit.write(
                tx, AuditKind.SIGNED_IN, tenant_id=who.tenant_id, actor=who.actor, outcome="SIGNED_IN", request=told
            )
        return token

    def developer(self, tenant_name: str, role: Role) -> Principal:
        """In development: somebody of that role, in a tenant that is made if it is new."""
        with self._database.begin() as tx:
            tenant = accounts.ensure_tenant(tx, tenant_name)
        return Principal(tenant.id, tenant.name, "developer", role)

    def find(self, token: str) -> PageSession | None:
        """Whose token it is; None where nobody's is, or no more."""
        with self._database.begin() as tx:
            session = page.find_session(tx, _digest(token), IDLE)
            if session:
                page.mark_seen(tx, session.id)
        return session

    def end(self, token: str) -> None:
        """Sign out; what was prepared and not confirmed is forgotten."""
        with self._database.begin() as tx:
            page.delete_session(tx, _digest(token))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
