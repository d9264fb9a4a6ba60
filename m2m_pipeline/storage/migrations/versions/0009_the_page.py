"""The web page: sessions, and requests that wait for their confirmation."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

MOMENT = postgresql.TIMESTAMP(timezone=True)
NOW = sa.text("clock_timestamp()")


NEW_KIND = "SIGNED_IN"


def upgrade() -> None:
    _allow_kind(add=True)
    op.create_table(
        "page_session",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("last_seen_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.CheckConstraint("role IN ('admin', 'auditor', 'operator', 'viewer')", name=op.f("ck_page_session_role")),
        sa.ForeignKeyConstraint(["tenant_id"], ["m2m.tenant.id"], name=op.f("fk_page_session_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_page_session")),
        sa.UniqueConstraint("digest", name=op.f("uq_page_session_digest")),
        schema="m2m",
    )
    op.create_table(
        "page_draft",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("page_session_id", sa.BigInteger(), nullable=False),
        sa.Column("request", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("bulk_change_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["page_session_id"],
            ["m2m.page_session.id"],
            name=op.f("fk_page_draft_page_session_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_page_draft")),
        schema="m2m",
    )
    op.create_index("ix_page_draft_session", "page_draft", ["page_session_id"], unique=False, schema="m2m")


def downgrade() -> None:
    # The log is never changed, save here: the older form has no word for these entries.
    op.execute("ALTER TABLE m2m.audit_entry DISABLE TRIGGER append_only")
    op.execute(f"DELETE FROM m2m.audit_entry WHERE kind = '{NEW_KIND}'")
    op.execute("ALTER TABLE m2m.audit_entry ENABLE TRIGGER append_only")
    _allow_kind(add=False)
    op.drop_table("page_draft", schema="m2m")
    op.drop_table("page_session", schema="m2m")


def _allow_kind(*, add: bool) -> None:
    """Allow another kind of audit entry, or no more; those that other migrations allow stay as they are."""
    definition = (
        op.get_bind()
        .execute(
            sa.text(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint "
                "WHERE conname = 'ck_audit_entry_kind' AND connamespace = 'm2m'::regnamespace"
            )
        )
        .scalar_one()
    )
    kinds = set(definition.split("'")[1::2]) - {NEW_KIND} | ({NEW_KIND} if add else set())
    listed = ", ".join(repr(kind) for kind in sorted(kinds))
    op.execute("ALTER TABLE m2m.audit_entry DROP CONSTRAINT ck_audit_entry_kind")
    op.execute(f"ALTER TABLE m2m.audit_entry ADD CONSTRAINT ck_audit_entry_kind CHECK (kind IN ({listed}))")
