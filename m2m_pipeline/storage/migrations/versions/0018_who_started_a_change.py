"""Who queued a bulk change that was only recorded: an entry of the audit log."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

NEW_KIND = "PROCESSING_REQUESTED"


def upgrade() -> None:
    """Take entries of the new kind."""
    allow_kinds(known_kinds() | {NEW_KIND})


def downgrade() -> None:
    """Take them no more."""
    # An entry of the new kind stays, and stands against nothing: the log is append-only.
    allow_kinds(known_kinds() - {NEW_KIND}, but="NOT VALID")


def known_kinds() -> set[str]:
    """What the log may hold now, whichever migrations have been before."""
    rule = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'ck_audit_entry_kind'"
    return set(op.get_bind().execute(sa.text(rule)).scalar_one().split("'")[1::2])


def allow_kinds(kinds: set[str], but: str = "") -> None:
    """Let the log hold these kinds of entries."""
    named = ", ".join(f"'{kind}'" for kind in sorted(kinds))
    op.drop_constraint(op.f("ck_audit_entry_kind"), "audit_entry", schema="m2m")
    op.execute(f"ALTER TABLE m2m.audit_entry ADD CONSTRAINT ck_audit_entry_kind CHECK (kind IN ({named})) {but}")
