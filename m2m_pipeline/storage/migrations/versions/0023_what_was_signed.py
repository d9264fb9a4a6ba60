"""Up to which number digests of each chain were seen at their place, so that they are missed where it is empty."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_signed",
        sa.Column("tenant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "place", name=op.f("pk_audit_signed")),
        schema="m2m",
    )


def downgrade() -> None:
    op.drop_table("audit_signed", schema="m2m")
