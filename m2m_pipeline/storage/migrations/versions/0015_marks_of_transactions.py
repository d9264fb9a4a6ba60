"""Transactions leave a mark, by which is known whether one whose answer was lost was committed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

ROLE = "m2m_web"


def upgrade() -> None:
    op.create_table(
        "transaction_mark",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=True),
        sa.Column("left_at", TIMESTAMP(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transaction_mark")),
        schema="m2m",
    )
    op.execute(f"GRANT SELECT, INSERT ON m2m.transaction_mark TO {ROLE}")
    op.execute("ALTER TABLE m2m.transaction_mark ENABLE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY own_tenant ON m2m.transaction_mark TO {ROLE} "
        "USING (tenant_id = (SELECT nullif(current_setting('m2m.tenant_id', true), '')::bigint))"
    )
    op.execute(f"CREATE POLICY services ON m2m.transaction_mark USING ((SELECT current_user <> '{ROLE}'))")


def downgrade() -> None:
    op.drop_table("transaction_mark", schema="m2m")
