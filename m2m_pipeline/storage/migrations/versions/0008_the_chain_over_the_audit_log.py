"""The chain over the audit log."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NEW_KIND = "RECORDS_PURGED"

REFUSE_CHANGE = """
CREATE OR REPLACE FUNCTION m2m.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'm2m.% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
"""
APPEND_ONLY = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON m2m.audit_link
    FOR EACH STATEMENT EXECUTE FUNCTION m2m.refuse_change();
"""


def upgrade() -> None:
    op.create_table(
        "audit_link",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.Column("sealed_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "number", name=op.f("pk_audit_link")),
        sa.UniqueConstraint("entry_id", name=op.f("uq_audit_link_entry_id")),
        schema="m2m",
    )
    op.execute(REFUSE_CHANGE)
    op.execute(APPEND_ONLY)
    allow_kinds(known_kinds() | {NEW_KIND})


def downgrade() -> None:
    # An entry of the new kind stays, and stands against nothing: the log is append-only.
    allow_kinds(known_kinds() - {NEW_KIND}, but="NOT VALID")
    op.drop_table("audit_link", schema="m2m")


def known_kinds() -> set[str]:
    """What the log may hold now, whichever migrations have been before."""
    rule = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'ck_audit_entry_kind'"
    return set(op.get_bind().execute(sa.text(rule)).scalar_one().split("'")[1::2])


def allow_kinds(kinds: set[str], but: str = "") -> None:
    """Let the log hold these kinds of entries."""
    named = ", ".join(f"'{kind}'" for kind in sorted(kinds))
    op.drop_constraint(op.f("ck_audit_entry_kind"), "audit_entry", schema="m2m")
    op.execute(f"ALTER TABLE m2m.audit_entry ADD CONSTRAINT ck_audit_entry_kind CHECK (kind IN ({named})) {but}")
