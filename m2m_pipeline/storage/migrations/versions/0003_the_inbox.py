"""The inbox: messages of inbound queues, each recorded once."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "inbox_message",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("bulk_change_id", sa.BigInteger(), nullable=True),
        sa.Column("problems", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "received_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint("status IN ('ACCEPTED', 'REJECTED')", name=op.f("ck_inbox_message_status")),
        sa.CheckConstraint(
            "(status = 'ACCEPTED') = (bulk_change_id IS NOT NULL)", name=op.f("ck_inbox_message_accepted_is_a_change")
        ),
        sa.CheckConstraint(
            "(status = 'REJECTED') = (jsonb_array_length(problems) > 0)",
            name=op.f("ck_inbox_message_rejected_has_reasons"),
        ),
        sa.ForeignKeyConstraint(
            ["bulk_change_id", "tenant_id"],
            ["m2m.bulk_change.id", "m2m.bulk_change.tenant_id"],
            name=op.f("fk_inbox_message_bulk_change_id"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["m2m.tenant.id"], name=op.f("fk_inbox_message_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox_message")),
        sa.UniqueConstraint("tenant_id", "message_id", name=op.f("uq_inbox_message_tenant_id_message_id")),
        schema="m2m",
    )
    op.create_index(
        "ix_inbox_message_key", "inbox_message", ["tenant_id", "idempotency_key"], unique=False, schema="m2m"
    )


def downgrade() -> None:
    op.drop_index("ix_inbox_message_key", table_name="inbox_message", schema="m2m")
    op.drop_table("inbox_message", schema="m2m")
