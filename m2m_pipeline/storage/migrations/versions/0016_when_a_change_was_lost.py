"""When an account's last change was lost, by which is told an outage that goes on from one that nobody tries any more."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("carrier_gate", sa.Column("lost_at", sa.Double(), nullable=True), schema="m2m")


def downgrade() -> None:
    """Remove the column."""
    op.drop_column("carrier_gate", "lost_at", schema="m2m")
